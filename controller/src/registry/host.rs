//! How a registry is reached that is not reached as others are.

use std::path::PathBuf;

use serde::Deserialize;

/// A registry that is reached in a way of its own. One that is named here may also have an address of the node itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Host {
    /// Its name in an image's, with the port if there is one.
    pub host: String,
    /// Whether it speaks no TLS.
    #[serde(default)]
    pub plain_http: bool,
    /// PEM file of the authorities that vouch for it; those of the system without it.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}
