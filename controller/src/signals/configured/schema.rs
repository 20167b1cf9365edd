//! The JSON schema of a signals file, for editors and for the chart, is made of the types that read it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Value, json};

use super::file::File;
use super::tests::written;
use super::{parse, table};

/// What may be left out is left out: null is no value of it.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get("type") {
        let one = types.iter().find(|of| *of != "null").cloned().unwrap_or_default();
        schema.insert("type".to_owned(), one);
    }
    if let Some(Value::Array(any)) = schema.get("anyOf")
        && any.contains(&json!({"type": "null"}))
    {
        let one = any[0].clone();
        schema.remove("anyOf");
        one.as_object()
            .unwrap()
            .iter()
            .for_each(|(key, value)| drop(schema.insert(key.clone(), value.clone())));
    }
    transform_subschemas(&mut without_null, schema);
}

fn generated() -> Value {
    // What Helm and editors read.
    let settings = SchemaSettings::draft07();
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    without_null.transform(&mut schema);
    schema.insert("title".to_owned(), json!("More signals for crik-controller, --signals-file"));
    schema.to_value()
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn the_schema_in_the_documents_is_that_of_the_types() {
    let path = root("docs/signals.schema.json");
    let fresh = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if env::var_os("CRIK_WRITE_SCHEMA").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == fresh, "run make signals-schema");
}

/// A schema without references and words, so that it can be compared with one that is written otherwise.
fn bare(all: &Value, schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                return bare(all, &all["definitions"][name.rsplit('/').next().unwrap()]);
            }
            if let Some([one]) = map.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
                return bare(all, one);
            }
            let words = ["description", "title", "default"];
            let of_enum = |key: &str| key == "type" && map.contains_key("enum");
            let kept = map.iter().filter(|(key, _)| !words.contains(&key.as_str()) && !of_enum(key));
            kept.map(|(key, value)| (key.clone(), bare(all, value))).collect()
        }
        Value::Array(items) => items.iter().map(|item| bare(all, item)).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_chart_takes_the_same_signals() {
    let chart: Value =
        serde_json::from_slice(&fs::read(root("charts/crik/values.schema.json")).unwrap()).unwrap();
    let own = generated();
    let of = |all: &Value| bare(all, &all["properties"]["signals"]);
    assert_eq!(
        serde_json::to_string_pretty(&of(&chart)).unwrap(),
        serde_json::to_string_pretty(&of(&own)).unwrap()
    );
}

fn fits(file: &Value) -> Result<(), String> {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("file:///signals.schema.json", generated()).unwrap();
    let schema = compiler.compile("file:///signals.schema.json", &mut schemas).unwrap();
    schemas.validate(file, schema).map_err(|error| format!("{error:#}"))
}

#[test]
fn every_built_in_row_is_one_by_the_schema() {
    let rows: Vec<_> = table::TABLE.iter().map(written).collect();
    assert_eq!(fits(&json!({"signals": rows})), Ok(()));
}

/// Whether the program takes a row as well, or whether both refuse it.
#[test]
fn what_the_schema_says_of_a_row_is_what_the_program_does() {
    let with = |thing: Value| json!({"name": "x", "state": "hint", "taint": thing});
    for (row, good) in [
        (with(json!({"key": "a.b/c_d", "value": {"equals": ""}})), true),
        (with(json!({"effect": "NoExecute"})), true),
        (with(json!({"effect": "NoSchedule"})), false),
        (with(json!({"effect": "NoExecute", "value": {"equals": "v"}})), false),
        (with(json!({"key": "a/b/c"})), false),
        (with(json!({"key": "k", "value": {}})), false),
        (with(json!({"key": "k", "value": {"in": []}})), false),
        (with(json!({"key": "k", "value": {"containsAny": [""]}})), false),
        (with(json!({"key": "k", "effect": "E"})), false),
        (json!({"name": "x", "state": "hint"}), false),
        (json!({"name": "x", "state": "hint", "unschedulable": true}), true),
        (json!({"name": "x", "state": "hint", "unschedulable": false}), false),
        (json!({"name": "x", "state": "hint", "unschedulable": true, "label": {"key": "k"}}), false),
        (json!({"name": "X", "state": "hint", "unschedulable": true}), false),
        (json!({"name": "x", "state": "hint", "deleting": {"finalizer": "a/b"}}), true),
        (json!({"name": "x", "state": "gone", "unschedulable": true}), false),
        (
            json!({"name": "x", "state": "hint", "condition": {"type": "C", "status": "Unknown", "reason": {"notIn": ["R"]}}}),
            true,
        ),
    ] {
        let file = json!({"signals": [row]});
        let read = parse(Path::new("signals.yaml"), &file.to_string());
        assert_eq!((fits(&file).is_ok(), read.is_ok()), (good, good), "{file}: {:?}", fits(&file));
    }
}
