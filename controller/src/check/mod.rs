//! `crik-controller check URL`: whether a controller answers where its agents ask. Its image has no shell that could do that.
//! May import `base`.

mod error;
mod question;
mod trust;

use std::path::PathBuf;

use axum::http::Uri;
use clap::Args;
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use self::error::CheckError;
use self::question::ask;
use self::trust::trust;
use crate::base::causes::with_causes;
use crate::base::limits;

/// What is asked, and how.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where agents ask, as in their nodeStateServerURL, for example http://crik-controller.crik:9376.
    #[arg(value_name = "URL")]
    url: Uri,
    /// PEM file of the certificate of who issued the controller's. Without it, and if there is no such file, a controller
    /// with TLS is only seen to take connections.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Asks every replica until all are ready; then tells of each.
///
/// # Errors
/// One is not ready for [`limits::CHECK_PATIENCE`]; the last reason.
pub async fn run(options: &Options) -> Result<Vec<String>, CheckError> {
    let end = Instant::now() + limits::CHECK_PATIENCE;
    loop {
        match every_replica(options).await {
            // A wrong URL or file stays wrong.
            Err(error @ (CheckError::Url(_) | CheckError::Ca(..) | CheckError::Host(_))) => {
                return Err(error);
            }
            Err(error) if Instant::now() < end => {
                tracing::info!("asking again: {}", with_causes(&error));
                sleep(limits::CHECK_RETRY).await;
            }
            done => return done,
        }
    }
}

async fn every_replica(options: &Options) -> Result<Vec<String>, CheckError> {
    let url = &options.url;
    let host = url.host().ok_or_else(|| CheckError::Url(url.clone()))?;
    let trust = trust(url, options.ca_file.as_deref())?;
    let port = url.port_u16().unwrap_or(crik_api::DEFAULT_PORT);
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    let bare = host.trim_matches(['[', ']']);
    let found = lookup_host((bare, port)).await.map_err(|why| CheckError::Name(host.to_owned(), why))?;
    let mut told = Vec::new();
    for address in found {
        let asked = timeout(limits::CHECK_ANSWER, ask(address, bare, &trust));
        told.push(asked.await.map_err(|_| CheckError::Late(address))??);
    }
    if told.is_empty() { Err(CheckError::NoAddress(host.to_owned())) } else { Ok(told) }
}
