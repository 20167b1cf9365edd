//! What a file of JSON tells, without what it says but for words that a release knows or does not: an earlier release reads one in which is
//! all that it had in its own.

use std::collections::BTreeSet;

use serde_json::Value;

/// Each field, as the path to it and the kind of what it has.
pub fn shape(json: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    add(&serde_json::from_slice(json).unwrap(), String::new(), &mut found);
    found
}

fn add(value: &Value, path: String, found: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth",
        Value::Number(_) => "a number",
        Value::String(word) if is_a_choice(&path) => word.as_str(),
        Value::String(_) => "a text",
        Value::Array(values) => {
            values.iter().for_each(|value| add(value, format!("{path}[]"), found));
            "a list"
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| add(value, format!("{path}.{}", told(name)), found));
            "fields"
        }
    };
    found.insert(format!("{path}: {kind}"));
}

/// Whether what is there is one of few words, of which another release may not know another one.
fn is_a_choice(path: &str) -> bool {
    ["codec", "access", "outcome", "kind"].contains(&path.rsplit('.').next().unwrap_or_default())
}

/// The names of packs are made up.
fn told(name: &str) -> &str {
    let is_made_up = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_made_up { "<pack>" } else { name }
}

#[test]
fn a_word_that_an_earlier_release_does_not_know_is_another_shape() {
    let of =
        |codec: &str, path: &str| shape(format!(r#"{{"codec": "{codec}", "path": "{path}"}}"#).as_bytes());
    assert_eq!(of("Lz4", "/a"), of("Lz4", "/b"));
    assert!(of("Lz4", "/a") != of("Brotli", "/a"));
}
