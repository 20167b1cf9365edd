//! How what crik writes of its own looks in a file.

use serde::Serialize;

/// Serialises one of our own types, which cannot fail: they have string keys and no cycles.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(value).unwrap_or_default();
    json.push(b'\n');
    json
}
