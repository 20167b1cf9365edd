//! The part of the chart's values.schema.json that says what Kubernetes' own objects are: taken from an API server's description
//! of them, so that a value which Kubernetes would refuse, or silently leave out, is refused with its name.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use crate::control_plane::Api;

/// How the definitions that are made here begin.
const PREFIX: &str = "io.k8s.";

/// Where an API server describes the kinds that are needed.
const GROUPS: [&str; 3] = ["api/v1", "apis/apps/v1", "apis/networking.k8s.io/v1"];

/// The line that they stand behind, each on a line of its own.
const BEGINNING: &str = "  \"definitions\": {\n";

/// The schema anew, with the definitions that it refers to.
///
/// # Errors
/// It refers to something that the API server does not have.
pub fn renewed(schema: &str, api: &Api) -> Result<String> {
    let known = described(api)?;
    let kept: String = schema
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with(&format!("\"{PREFIX}")))
        .collect();
    let mut needed = BTreeMap::new();
    collect(&serde_json::from_str(&kept)?, &known, &mut needed)?;
    let lines: String =
        needed.iter().map(|(name, schema)| format!("    {}: {schema},\n", json!(name))).collect();
    let (before, after) = kept.split_once(BEGINNING).context("there are no definitions")?;
    Ok(format!("{before}{BEGINNING}{lines}{after}"))
}

/// All schemas of the API server, by name.
fn described(api: &Api) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for group in GROUPS {
        let document = api.get(&format!("/openapi/v3/{group}"))?;
        let schemas = document["components"]["schemas"].as_object().context("no schemas")?.clone();
        all.extend(schemas);
    }
    Ok(all)
}

/// Adds all definitions that are referred to, and those that they refer to.
fn collect(of: &Value, known: &BTreeMap<String, Value>, needed: &mut BTreeMap<String, Value>) -> Result<()> {
    for name in references(of) {
        if needed.contains_key(&name) || !name.starts_with(PREFIX) {
            continue;
        }
        let schema = known.get(&name).with_context(|| format!("the API server has no {name}"))?;
        let schema = translated(&name, schema);
        needed.insert(name, schema.clone());
        collect(&schema, known, needed)?;
    }
    Ok(())
}

fn references(of: &Value) -> Vec<String> {
    match of {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            own.map(str::to_owned).into_iter().chain(map.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// A schema of OpenAPI in the words of JSON Schema, in which nothing else is allowed than what is named.
fn translated(name: &str, schema: &Value) -> Value {
    match name.rsplit('.').next() {
        Some("IntOrString") => json!({"type": ["integer", "string"]}),
        Some("Quantity") => json!({"$ref": "#/definitions/quantity"}),
        _ => strict(schema),
    }
}

fn strict(schema: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let mut kept = Map::new();
    for (key, value) in map {
        let value = match key.as_str() {
            "$ref" => json!(value.as_str().unwrap_or_default().replace("components/schemas", "definitions")),
            "properties" => json!(
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, of)| (name.clone(), strict(of)))
                    .collect::<Map<_, _>>()
            ),
            "items" | "additionalProperties" => strict(value),
            "allOf" => json!(value.as_array().into_iter().flatten().map(strict).collect::<Vec<_>>()),
            "type" | "required" | "enum" => value.clone(),
            // Words about it, and what only the API server checks.
            _ => continue,
        };
        kept.insert(key.clone(), value);
    }
    if kept.contains_key("properties") {
        kept.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(kept)
}

/// # Errors
/// The schema is not in step.
pub fn check(schema: &str, api: &Api) -> Result<()> {
    let fresh = renewed(schema, api)?;
    ensure!(
        fresh == schema,
        "values.schema.json is not in step with Kubernetes' own types; run make values-schema"
    );
    Ok(())
}
