//! How a report is sent: on a connection of its own, which is closed again, to one replica after the other until one has taken it.

use std::net::SocketAddr;

use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use tokio::time::timeout;

use crate::base::limits;
use crate::cluster::controller::addresses;
use crate::cluster::controller::connection::Connection;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::unknown::{Refusal, Unknown};

/// Sends `report`, first to those replicas that are `known`.
///
/// # Errors
/// None has taken it: a failure that may pass, if there was one.
pub async fn send(endpoint: &Endpoint, known: Vec<SocketAddr>, report: &Bytes) -> Result<(), Unknown> {
    let found = if known.is_empty() { addresses::resolve(endpoint).await? } else { known };
    let mut failure: Option<Unknown> = None;
    for address in found {
        match send_to(endpoint, address, report.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) if is_for_all(&error) => return Err(error),
            Err(error) => failure = failure.filter(|before| !is_refused(before)).or(Some(error)),
        }
    }
    Err(failure.unwrap_or(Unknown::NotYet))
}

/// Whether no other replica would say anything else, or is to be asked: who reports too often is not to go to the next one.
fn is_for_all(error: &Unknown) -> bool {
    use StatusCode as Status;
    match error {
        Unknown::Refused(refusal) => {
            matches!(refusal.status, Status::UNAUTHORIZED | Status::FORBIDDEN | Status::TOO_MANY_REQUESTS)
        }
        other => matches!(other, Unknown::Token { .. }),
    }
}

/// Whether the replica would say the same again, as one of another release does.
fn is_refused(error: &Unknown) -> bool {
    matches!(error, Unknown::Refused(refusal) if refusal.status.is_client_error())
}

async fn send_to(endpoint: &Endpoint, address: SocketAddr, report: Bytes) -> Result<(), Unknown> {
    let late = format!("{address} did not take a report within {:?}", limits::REPORT_ANSWER);
    let post = async {
        let route = endpoint.reports_route().ok_or(Unknown::NotYet)?;
        Connection::open(endpoint, address).await?.post(endpoint, &route, report).await
    };
    let (head, body) =
        timeout(limits::REPORT_ANSWER, post).await.unwrap_or(Err(Unknown::Unreachable(late)))?;
    taken(endpoint, &head, &body)
}

fn taken(endpoint: &Endpoint, head: &Response<()>, body: &Bytes) -> Result<(), Unknown> {
    match head.status().is_success() {
        true => Ok(()),
        false => Err(Unknown::Refused(Refusal::read(head, body, endpoint.access.token_file.is_some()))),
    }
}
