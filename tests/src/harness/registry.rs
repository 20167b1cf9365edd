//! A real registry of images on this machine, which speaks no TLS and lets everybody in.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::control_plane::Port;
use crate::tools::registry;
use crate::wait::wait_for;

/// The registry, empty at first. Ended with its images when it is dropped.
pub struct Registry {
    server: Child,
    port: Port,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Registry {
    /// Starts one.
    ///
    /// # Errors
    /// It cannot be built or started.
    pub fn start() -> Result<Self> {
        let port = Port::take()?;
        let mut server = Command::new(registry()?);
        server.args(["-port", &port.number().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let registry = Self { server: server.spawn().context("cannot start the registry")?, port };
        wait_for("the registry", || TcpStream::connect(("localhost", registry.port.number())).ok())?;
        Ok(registry)
    }

    /// Its name in an image's.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port.number())
    }

    /// Puts an image into it that has no files, with this as what it starts, and returns its whole name.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn push(&self, name: &str, config: &Value) -> Result<String> {
        let (repository, tag) = name.split_once(':').context("an image without a tag")?;
        let rootfs = json!({"type": "layers", "diff_ids": []});
        let whole =
            json!({"architecture": "amd64", "os": "linux", "config": config, "rootfs": rootfs}).to_string();
        let digest: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
        let base = format!("http://{}/v2/{repository}", self.host());
        ureq::post(format!("{base}/blobs/uploads/?digest=sha256:{digest}")).send(&whole)?;
        let media = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{digest}"), "size": whole.len()},
        });
        ureq::put(format!("{base}/manifests/{tag}"))
            .header("content-type", media)
            .send(&manifest.to_string())?;
        Ok(format!("{}/{name}", self.host()))
    }
}
