//! Volumes that pods on any node can mount: directories of this machine's disk, which all nodes see.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::DIRECTORY;
use crate::control_plane::ControlPlane;

/// How many there are: one for each claim that is ever made.
const COUNT: u32 = 80;

/// Makes all PersistentVolumes; a claim gets whichever is free.
///
/// # Errors
/// The API server refuses.
pub fn create(plane: &ControlPlane) -> Result<()> {
    let all: Vec<Value> = (1..=COUNT).map(volume).collect();
    let file = plane.directory().join("volumes.json");
    fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string())?;
    (1..=COUNT).try_for_each(|number| fs::create_dir_all(path(&name(number))))?;
    plane.kubectl(&["create", "--filename", &file.to_string_lossy()]).map(drop)
}

/// The directory of a volume.
pub fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join("volumes").join(name)
}

fn name(number: u32) -> String {
    format!("shared-{number}")
}

fn volume(number: u32) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name(number)},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "10Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": path(&name(number))},
        },
    })
}
