//! Takes up a new certificate when its files change: kubelet and cert-manager renew them while the program runs.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use super::files::{Contents, Files, TlsError};
use crate::base::file_watch::FileWatch;

/// Follows the files until nobody serves any more. `served` is what is in use.
pub async fn run(files: Files, mut served: Contents, sender: watch::Sender<Arc<ServerConfig>>) {
    let mut certificate = FileWatch::new("certificate file", files.certificate.clone());
    let mut key = FileWatch::new("key file", files.key.clone());
    let mut complaint = String::new();
    while !sender.is_closed() {
        let good = complaint.is_empty();
        // Watched before they are read, so that no change falls between the two.
        certificate.set(good);
        key.set(good);
        match renewed(&files, &mut served) {
            Ok(renewed) => {
                complaint.clear();
                if let Some(config) = renewed {
                    tracing::info!("the TLS certificate was renewed from {}", files.certificate.display());
                    sender.send_replace(config);
                }
            }
            Err(error) => complain(&mut complaint, &error.to_string()),
        }
        let good = complaint.is_empty();
        tokio::select! {
            () = certificate.changed(good) => {}
            () = key.changed(good) => {}
        }
    }
}

/// What is in the files now, if it is not what is in use.
fn renewed(files: &Files, served: &mut Contents) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let now = files.read()?;
    if now == *served {
        return Ok(None);
    }
    let config = now.config(files)?;
    *served = now;
    Ok(Some(config))
}

/// Says each cause once.
fn complain(complaint: &mut String, why: &str) {
    if complaint != why {
        tracing::warn!("the new TLS certificate is not used, and the one before it stays: {why}");
        why.clone_into(complaint);
    }
}
