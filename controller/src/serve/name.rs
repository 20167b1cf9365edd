//! Node names in paths.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;

use crate::base::limits;

/// A name that a node may have: an RFC 1123 subdomain.
///
/// # Errors
/// What was asked for is none.
pub fn check(name: Result<Path<String>, PathRejection>) -> Result<String, String> {
    let Path(name) = name.map_err(|error| error.body_text())?;
    if name.len() > limits::NAME_MAX || !name.split('.').all(is_label) {
        let shown: String = name.chars().take(limits::NAME_MAX).collect();
        return Err(format!("{shown:?} is no node name: at most 253 of a-z, 0-9, '-' and '.'"));
    }
    Ok(name)
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty() && label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
}
