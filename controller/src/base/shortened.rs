//! Texts of others, kept short: anybody who may write to an object may write much.

use crate::base::limits;

/// The text, or its beginning.
pub fn shortened(text: String) -> String {
    shortened_to(text, limits::OBSERVED_MAX)
}

/// The text, or so many characters of its beginning.
pub fn shortened_to(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
