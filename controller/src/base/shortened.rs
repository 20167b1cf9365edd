//! Texts of others, kept short: anybody who may write to an object may write much.

use crate::base::limits;

/// The text, or its beginning.
pub fn shortened(text: String) -> String {
    match text.char_indices().nth(limits::OBSERVED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
