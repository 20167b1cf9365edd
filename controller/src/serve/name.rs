//! Names in paths.

use crate::base::limits;

/// Returns if a node or a pod may have this name: an RFC 1123 subdomain.
///
/// # Errors
/// It may not; `of` says what it would be the name of.
pub fn check(of: &str, name: &str) -> Result<(), String> {
    if name.len() <= limits::NAME_MAX && name.split('.').all(is_label) {
        return Ok(());
    }
    let shown: String = name.chars().take(limits::NAME_MAX).collect();
    Err(format!("{shown:?} is no {of} name: at most 253 of a-z, 0-9, '-' and '.'"))
}

/// Returns if a namespace may have this name: an RFC 1123 label.
///
/// # Errors
/// It may not.
pub fn check_namespace(name: &str) -> Result<(), String> {
    if name.len() <= limits::LABEL_MAX && is_label(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(limits::NAME_MAX).collect();
    Err(format!("{shown:?} is no namespace: at most 63 of a-z, 0-9 and '-'"))
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty() && label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
}
