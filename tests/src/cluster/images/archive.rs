//! Images as a file that `docker load` and `ctr images import` read.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Image;
use crate::command::run;

/// Writes images to one archive (Docker's "image specification v1.2", which containerd reads); layers that they share are
/// in it once.
///
/// # Errors
/// The disk is full, or a layer has gone.
pub fn write(images: &[Image], archive: &Path) -> Result<()> {
    let directory = tempfile::tempdir_in(archive.parent().unwrap_or(Path::new("/")))?;
    let manifest = images.iter().map(|image| add(image, directory.path())).collect::<Result<Vec<Value>>>()?;
    fs::write(directory.path().join("manifest.json"), serde_json::to_vec(&manifest)?)?;
    let (from, to) = (directory.path().to_string_lossy(), archive.to_string_lossy());
    // The layers are links to where they are kept.
    let words =
        ["--create", "--dereference", "--sort=name", "--mtime=@0", "--file", &to, "--directory", &from, "."];
    run("tar", &words).map(drop)
}

fn add(image: &Image, directory: &Path) -> Result<Value> {
    let digests = image.digests()?;
    for (layer, digest) in image.layers.iter().zip(&digests) {
        let link = directory.join(format!("{digest}.tar"));
        if !link.exists() {
            std::os::unix::fs::symlink(layer.tar(), link)?;
        }
    }
    let ids: Vec<String> = digests.iter().map(|digest| format!("sha256:{digest}")).collect();
    let config = serde_json::to_vec(&json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-11-01T00:00:00Z",
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": ids},
    }))?;
    let name = Sha256::digest(&config).iter().map(|byte| format!("{byte:02x}")).collect::<String>() + ".json";
    fs::write(directory.join(&name), config)?;
    let layers: Vec<String> = digests.iter().map(|digest| format!("{digest}.tar")).collect();
    Ok(json!({"Config": name, "RepoTags": [image.name], "Layers": layers}))
}
