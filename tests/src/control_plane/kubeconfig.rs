//! Kubeconfig files: who one is, and where the API server is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::certificates::Pair;

/// Who asks.
pub enum Identity<'a> {
    /// The holder of a client certificate.
    Certificate(&'a Pair),
    /// The bearer of the token in a file, which clients read again when it changes.
    TokenFile(&'a Path),
}

/// Writes one, for the API server at `server` whose certificate `authority` has signed.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, server: &str, authority: &Path, identity: &Identity<'_>) -> Result<PathBuf> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "test", "user": user(identity)}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    });
    fs::write(path, serde_yaml::to_string(&config)?)?;
    Ok(path.to_owned())
}

fn user(identity: &Identity<'_>) -> Value {
    match identity {
        Identity::Certificate(pair) => {
            json!({"client-certificate": pair.certificate, "client-key": pair.key})
        }
        Identity::TokenFile(path) => json!({"tokenFile": path}),
    }
}
