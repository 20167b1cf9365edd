//! Takes up a new certificate when its files change: kubelet and cert-manager renew them while the program runs.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use super::files::{Contents, Files, TlsError};
use crate::base::complaint::Complaint;
use crate::base::file_watch::FileWatch;

/// Follows the files until nobody serves any more. `served` is what is in use.
pub async fn run(files: Files, mut served: Contents, sender: watch::Sender<Arc<ServerConfig>>) {
    let mut certificate = FileWatch::new("certificate file", files.certificate.clone());
    let mut key = FileWatch::new("key file", files.key.clone());
    let (complaint, mut good) = (Complaint::default(), true);
    while !sender.is_closed() {
        // Watched before they are read, so that no change falls between the two.
        certificate.set(good);
        key.set(good);
        let renewed = renewed(&files, &mut served);
        complain(&complaint, renewed.as_ref().err());
        good = renewed.is_ok();
        if let Ok(Some(config)) = renewed {
            tracing::info!("the TLS certificate was renewed from {}", files.certificate.display());
            sender.send_replace(config);
        }
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

fn complain(complaint: &Complaint, error: Option<&TlsError>) {
    let why = error.map(ToString::to_string);
    let is_news = complaint.is_news(why.as_deref());
    if let Some(why) = why.filter(|_| is_news) {
        tracing::warn!("the new TLS certificate is not used, and the one before it stays: {why}");
    }
}
