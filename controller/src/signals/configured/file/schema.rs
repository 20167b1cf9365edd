//! What the schema of a signals file says of what the types do not tell.

use schemars::Schema;
use serde_json::json;

/// How a signal may be called.
pub const NAME: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// What Kubernetes lets be the key of a label, an annotation or a taint, a finalizer, or a condition's type. The program itself asks
/// for less.
pub const KEY: &str = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";

/// Exactly one thing of those that a row may have.
pub fn one_thing(schema: &mut Schema) {
    let things = ["taint", "label", "annotation", "condition", "deleting", "unschedulable"];
    schema.insert("oneOf".to_owned(), things.map(|thing| json!({"required": [thing]})).into());
}

/// A taint without a key is one that evicts, whatever its value.
pub fn key_or_eviction(schema: &mut Schema) {
    let eviction =
        json!({"required": ["effect"], "properties": {"effect": {"const": "NoExecute"}, "value": false}});
    schema.insert("anyOf".to_owned(), json!([{"required": ["key"]}, eviction]));
}

/// It is true, or not given.
pub fn only_true(schema: &mut Schema) {
    schema.remove("type");
    schema.insert("const".to_owned(), json!(true));
}
