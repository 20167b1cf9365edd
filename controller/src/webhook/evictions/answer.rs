//! One question about an eviction, and the words of the answer.

use std::time::Duration;

use axum::http::StatusCode;
use crik_api::report::{Move, Step};
use k8s_openapi::jiff::Timestamp;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, Operation};
use kube::core::response::StatusDetails;
use kube::core::{DynamicObject, Status};

use crate::base::limits;
use crate::evict::{Reason, Verdict};

/// A pod that somebody wants evicted.
pub struct Eviction {
    /// `NAMESPACE/NAME`.
    pub pod: String,
    /// Whether it is only asked what would be.
    pub dry_run: bool,
}

impl Eviction {
    /// What the API server asks about, if it is an eviction. A dry run is told by the request, or by the Eviction itself, as kubectl
    /// does.
    pub fn of(request: &AdmissionRequest<DynamicObject>) -> Option<Self> {
        let is_one =
            request.operation == Operation::Create && request.sub_resource.as_deref() == Some("eviction");
        let namespace = request.namespace.as_deref().filter(|_| is_one)?;
        let options = request.object.as_ref().map(|object| &object.data["deleteOptions"]["dryRun"]);
        let dry_run =
            request.dry_run || options.and_then(|said| said.as_array()).is_some_and(|all| !all.is_empty());
        Some(Self { pod: format!("{namespace}/{}", request.name), dry_run })
    }
}

/// What is written on a pod whose first eviction came then.
pub fn moving(step: Step, since: Timestamp, now: Timestamp) -> Move {
    let text = |time: Timestamp| format!("{time:.3}");
    Move { asked: text(since), step, at: text(now), why: None }
}

/// What is counted.
pub fn word(verdict: Verdict, eviction: &Eviction) -> &'static str {
    match verdict {
        Verdict::Allow(reason) => reason.as_str(),
        _ if eviction.dry_run => "dry-run",
        Verdict::Wait { .. } => "held",
        Verdict::Ask => "asked",
        Verdict::Queue => "queued",
    }
}

/// The beginning and the end of a move, for the log.
pub fn tell(verdict: Verdict, eviction: &Eviction) {
    let pod = &eviction.pod;
    match verdict {
        _ if eviction.dry_run => {}
        Verdict::Ask => tracing::info!(pod, "an eviction waits for a checkpoint"),
        Verdict::Queue => tracing::debug!(pod, "an eviction waits for the checkpoints of others"),
        Verdict::Allow(reason @ (Reason::Durable | Reason::Failed | Reason::Stayed)) => {
            tracing::info!(pod, because = reason.as_str(), "the eviction goes on");
        }
        Verdict::Allow(reason @ (Reason::Late | Reason::Unheard)) => {
            tracing::warn!(
                pod,
                because = reason.as_str(),
                "the eviction goes on without the checkpoint that it has waited for"
            );
        }
        Verdict::Allow(_) | Verdict::Wait { .. } => {}
    }
}

/// The answer. A dry run is not held up, since nothing would come of its waiting.
pub fn with(mut response: AdmissionResponse, verdict: Verdict, eviction: &Eviction) -> AdmissionResponse {
    let Some((why, retry_after)) = held_up(verdict, Timestamp::now()) else { return response };
    if eviction.dry_run {
        response.warnings = Some(vec![format!("crik: the eviction would wait: {why}")]);
        return response;
    }
    let code = StatusCode::TOO_MANY_REQUESTS.as_u16();
    let details =
        StatusDetails { retry_after_seconds: retry_after.as_secs().try_into().unwrap_or(1), ..details() };
    response.allowed = false;
    response.result =
        Status { details: Some(details), ..Status::failure(&why, "TooManyRequests").with_code(code) };
    response
}

fn held_up(verdict: Verdict, now: Timestamp) -> Option<(String, Duration)> {
    const OWN: &str = "crik takes a checkpoint of its program first";
    const OTHERS: &str = "crik takes a checkpoint of its program first, when those of other pods are done";
    let (why, since, retry_after) = match verdict {
        Verdict::Allow(_) => return None,
        Verdict::Ask => (OWN, now, limits::EVICTION_RETRY),
        Verdict::Queue => (OTHERS, now, limits::EVICTION_RETRY),
        Verdict::Wait { since, for_others: false } => (OWN, since, limits::EVICTION_RETRY),
        Verdict::Wait { since, for_others: true } => (OTHERS, since, limits::QUEUE_RETRY),
    };
    let seconds = now.as_second() - since.as_second();
    Some((format!("{why}; asked for {seconds} s ago"), retry_after))
}

fn details() -> StatusDetails {
    StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}
