//! The Node of each signal, `controller/fixtures/nodes/`, and how its writer brings a node that is well into that shape.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};
use crik_api::NodeState;
use serde_json::{Value, json};

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

    /// Makes a well node of this name show it, by the requests that its writers send; returns when the last was sent.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn apply(&self, api: &Api, node: &str) -> Result<Instant> {
        let mut sent = Instant::now();
        for write in self.writes(node) {
            sent = Instant::now();
            api.patch(&write.path, write.kind, &write.patch)?;
        }
        if self.is_deleting() {
            sent = Instant::now();
            api.delete(&path(node))?;
        }
        Ok(sent)
    }

    /// Takes all of it back, or lets the deletion go on; returns when the last request was sent.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn take_back(&self, api: &Api, node: &str) -> Result<Instant> {
        let mut sent = Instant::now();
        if self.is_deleting() {
            api.patch(&path(node), PatchKind::Merge, &json!({"metadata": {"finalizers": null}}))?;
            return Ok(sent);
        }
        for write in self.writes(node).into_iter().rev() {
            sent = Instant::now();
            api.patch(&write.path, write.kind, &undone(write.patch))?;
        }
        Ok(sent)
    }

    /// In the order in which they come: what is on the Node, then what its status says.
    fn writes(&self, node: &str) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut write = |path: String, kind, patch| writes.push(Write { path, kind, patch });
        let metadata = &self.node["metadata"];
        for field in ["labels", "annotations", "finalizers"] {
            if !metadata[field].is_null() {
                write(path(node), PatchKind::Merge, json!({"metadata": {field: metadata[field]}}));
            }
        }
        for field in ["taints", "unschedulable"] {
            if !self.node["spec"][field].is_null() {
                write(path(node), PatchKind::Merge, json!({"spec": {field: self.node["spec"][field]}}));
            }
        }
        for condition in self.node["status"]["conditions"].as_array().into_iter().flatten() {
            let patch = json!({"status": {"conditions": [condition]}});
            write(format!("{}/status", path(node)), PatchKind::Strategic, patch);
        }
        writes
    }
}

fn path(node: &str) -> String {
    format!("/api/v1/nodes/{node}")
}

/// The patch that takes another back: a merge patch sets to null what that one set, and a condition is false again, or true
/// if it is Ready.
fn undone(patch: Value) -> Value {
    match patch {
        Value::Object(fields) if fields.contains_key("conditions") => {
            let kind = &fields["conditions"][0]["type"];
            let (status, reason) = if kind == "Ready" { ("True", "KubeletReady") } else { ("False", "Over") };
            json!({"conditions": [{"type": kind, "status": status, "reason": reason, "message": ""}]})
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, undone(value))).collect(),
        _ => Value::Null,
    }
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
