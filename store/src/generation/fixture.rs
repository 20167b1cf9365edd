//! Manifests for unit tests.

use std::path::Path;

use serde_json::json;

use crate::generation::manifest::Manifest;
use crate::image_dir::Generation;

/// One of a program of which nothing is known.
pub fn manifest(generation: Generation, image_dir: &Path) -> Manifest {
    let json = json!({
        "version": 3, "generation": generation, "createdAt": 0, "crikVersion": "0", "extraPaths": [], "monotonicSeconds": 0,
        "durationsMs": {}, "files": {}, "stdio": ["", "", ""], "cgroups": {"own": "", "openFiles": []}, "imageDir": image_dir,
        "identity": {"argv": [], "arch": "", "cpuFeatures": [], "kernel": "", "criu": 0, "node": null, "host": "", "programs": {}},
        "tree": {"root": 1, "init": "/i", "processes": 1, "residentBytes": 0, "orphans": false}, "hasDigest": true,
    });
    Manifest::parse(&serde_json::to_vec(&json).unwrap()).unwrap()
}
