//! What the chart makes of values, by the real helm without a cluster.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize as _;
use serde_json::Value;

use crate::build::workspace;
use crate::tools::tool;

/// Where the chart is.
pub fn chart() -> String {
    workspace().join("charts/crik").display().to_string()
}

/// The chart of the first release, as it was. A change of it is none of that release's.
pub fn released_chart() -> String {
    workspace().join("tests/charts/crik-0.1.0").display().to_string()
}

/// A file of values.
///
/// # Errors
/// The disk is full.
pub fn values(json: &str) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::Builder::new().suffix(".json").tempfile()?;
    fs::write(file.path(), json)?;
    Ok(file)
}

/// Runs helm without a cluster; what it printed, or what it complained of.
///
/// # Errors
/// It is missing.
pub fn helm(args: &[&str]) -> Result<Result<String, String>> {
    let output = Command::new(tool("helm")?).args(args).output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

/// What the chart makes of these values, as text, or what helm complains of.
///
/// # Errors
/// helm is missing.
pub fn template(json: &str) -> Result<Result<String, String>> {
    let values = values(json)?;
    let path = values.path().display().to_string();
    helm(&[
        "template",
        "crik",
        &chart(),
        "--namespace",
        "crik",
        "--kube-version",
        "1.36.0",
        "--values",
        &path,
    ])
}

/// The objects that the chart makes of these values.
///
/// # Errors
/// helm is missing, or refuses them.
pub fn rendered(json: &str) -> Result<Vec<Value>> {
    let text = template(json)?.map_err(anyhow::Error::msg)?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    Ok(documents.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|object| !object.is_null()).collect())
}

/// The first object of a kind.
///
/// # Errors
/// There is none.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind).with_context(|| format!("no {kind}"))
}
