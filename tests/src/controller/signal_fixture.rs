//! The Node of each signal, `controller/fixtures/nodes/`, and how its writer brings a node that is well into that shape.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};
use crik_api::NodeState;
use serde_json::{Map, Value, json};

use crate::build::workspace;
use crate::control_plane::{Api, PatchKind};

/// A fixture.
pub struct SignalFixture {
    /// Its file's name, which is the signal's.
    pub name: String,
    /// The state that it means.
    pub state: NodeState,
    /// All signals on it.
    pub signals: Vec<String>,
    node: Value,
}

/// One request of a writer.
struct Write {
    path: String,
    kind: PatchKind,
    patch: Value,
}

/// All of them, by name.
///
/// # Errors
/// One cannot be read, or lacks one of its comments.
pub fn all() -> Result<Vec<SignalFixture>> {
    let directory = workspace().join("controller/fixtures/nodes");
    let entries = fs::read_dir(&directory).with_context(|| format!("no {}", directory.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        SignalFixture::parse(name, &fs::read_to_string(path)?).with_context(|| path.display().to_string())
    };
    paths.iter().map(read).collect()
}

impl SignalFixture {
    fn parse(name: String, text: &str) -> Result<Self> {
        let says = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {key}:")));
            line.map(str::trim).with_context(|| format!("no line `# {key}:`"))
        };
        let signals =
            says("signals")?.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let state = says("state")?.to_owned().into();
        Ok(Self { name, state, signals, node: serde_yaml::from_str(text)? })
    }

    /// True if its Node is being deleted, which nobody can take back.
    pub fn is_deleting(&self) -> bool {
        !self.node["metadata"]["deletionTimestamp"].is_null()
    }

    /// Makes a well node of this name show it, by the requests that its writers send; returns when the first was sent.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn apply(&self, api: &Api, node: &str) -> Result<Instant> {
        let sent = Instant::now();
        for write in self.writes(node) {
            api.patch(&write.path, write.kind, &write.patch)?;
        }
        if self.is_deleting() {
            api.delete(&path(node))?;
        }
        Ok(sent)
    }

    /// Takes all of it back, or lets the deletion go on; returns when the first request was sent.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn take_back(&self, api: &Api, node: &str) -> Result<Instant> {
        let sent = Instant::now();
        if self.is_deleting() {
            api.patch(&path(node), PatchKind::Merge, &json!({"metadata": {"finalizers": null}}))?;
            return Ok(sent);
        }
        for write in self.writes(node) {
            api.patch(&write.path, write.kind, &undone(write.patch))?;
        }
        Ok(sent)
    }

    /// What is on the Node, as operators and autoscalers patch it, and what its status says, as kubelets and problem
    /// detectors do; each as far as there is such a thing.
    fn writes(&self, node: &str) -> Vec<Write> {
        let part = |of: &str, fields: &[&str]| -> Value {
            let there = fields.iter().filter(|field| !self.node[of][**field].is_null());
            there
                .map(|field| ((*field).to_owned(), self.node[of][*field].clone()))
                .collect::<Map<_, _>>()
                .into()
        };
        let metadata = part("metadata", &["labels", "annotations", "finalizers"]);
        let (spec, status) = (part("spec", &["taints", "unschedulable"]), part("status", &["conditions"]));
        let object = Write {
            path: path(node),
            kind: PatchKind::Merge,
            patch: json!({"metadata": metadata, "spec": spec}),
        };
        let subresource = format!("{}/status", path(node));
        let status =
            Write { path: subresource, kind: PatchKind::Strategic, patch: json!({"status": status}) };
        let has_something = |write: &Write| {
            let parts = write.patch.as_object().into_iter().flat_map(Map::values);
            parts.filter_map(Value::as_object).any(|fields| !fields.is_empty())
        };
        [object, status].into_iter().filter(has_something).collect()
    }
}

fn path(node: &str) -> String {
    format!("/api/v1/nodes/{node}")
}

/// The patch that takes another back: a merge patch sets to null what that one set, and conditions are false again, or
/// true if it is Ready.
fn undone(patch: Value) -> Value {
    match patch {
        Value::Object(fields) if fields.contains_key("conditions") => {
            let conditions = fields["conditions"].as_array().into_iter().flatten();
            json!({"conditions": conditions.map(|c| well(&c["type"])).collect::<Vec<_>>()})
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, undone(value))).collect(),
        _ => Value::Null,
    }
}

fn well(kind: &Value) -> Value {
    let (status, reason) = if kind == "Ready" { ("True", "KubeletReady") } else { ("False", "Over") };
    json!({"type": kind, "status": status, "reason": reason, "message": ""})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_taken_back() {
        let labels = json!({"metadata": {"labels": {"a": "b"}}});
        assert_eq!(undone(labels), json!({"metadata": {"labels": {"a": null}}}));
        assert_eq!(undone(json!({"spec": {"taints": [{"key": "a"}]}})), json!({"spec": {"taints": null}}));
        let ready =
            json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "off"}]}});
        assert_eq!(undone(ready)["status"]["conditions"][0]["status"], "True");
    }
}
