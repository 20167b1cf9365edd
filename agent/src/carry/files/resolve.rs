//! Follows the links of the container itself on the way to a path.

use std::path::{Path, PathBuf};

/// Where `path` is, by the links that lead to it as they are now; it itself may be one, or not be there.
pub fn resolve(path: &Path) -> PathBuf {
    let Some((parent, name)) = path.parent().zip(path.file_name()) else { return path.to_owned() };
    parent.canonicalize().unwrap_or_else(|_| resolve(parent)).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_leads_to_a_path_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("run")).unwrap();
        symlink("run", root.join("var")).unwrap();
        symlink("/etc", root.join("run/link")).unwrap();
        assert_eq!(resolve(&root.join("var/app/pid")), root.join("run/app/pid"));
        assert_eq!(resolve(&root.join("var/link")), root.join("run/link"));
        assert_eq!(resolve(Path::new("/")), Path::new("/"));
    }
}
