//! What Kubernetes makes of a container's words: in its command, its arguments and its variables it replaces `$(NAME)` and takes `$$` for
//! `$`.

/// The text from which Kubernetes makes this one.
pub fn spared(text: String) -> String {
    let is_touched = text.contains("$$") || text.contains("$(");
    if is_touched { text.replace('$', "$$") } else { text }
}
