//! What a file of JSON tells, without what it says: an earlier release reads one in which is all that it had in its own.

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

/// The names of packs are made up.
fn told(name: &str) -> &str {
    let is_made_up = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_made_up { "<pack>" } else { name }
}
