//! Moves of pods: how their agents are told, and how many there are.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use crik_api::report::{MOVE_HEADER, POD_HEADER, Step};
use k8s_openapi::jiff::Timestamp;

use super::app::{App, Shared};
use crate::auth::Identity;
use crate::evict::{Standing, standing};
use crate::workloads::{Listener, Workload};

/// Is over when the agent of a pod is to be told of a move that it has not heard of, and tells which. In a box, since each poll that
/// waits has room for it.
pub type MoveCall = Pin<Box<dyn Future<Output = HeaderValue> + Send>>;

/// What waits for the move of the pod that these headers name. None if they name none, or one that is not the caller's.
pub fn call(app: &App, headers: &HeaderMap, identity: Option<&Identity>) -> Option<MoveCall> {
    let workloads = app.0.workloads.as_ref()?;
    let pod = headers.get(POD_HEADER)?.to_str().ok()?;
    if app.0.auth.is_some() {
        let own = identity?.pod.as_ref()?;
        pod.split_once('/').filter(|named| *named == (&own.namespace, &own.name))?;
    }
    let call = Call {
        listener: workloads.listen(pod),
        heard: headers.get(MOVE_HEADER).cloned(),
        deadline: app.0.eviction_deadline,
    };
    Some(Box::pin(call.asked()))
}

/// Who waits for it.
struct Call {
    listener: Listener,
    /// The move that the agent has heard of.
    heard: Option<HeaderValue>,
    deadline: Duration,
}

impl Call {
    async fn asked(mut self) -> HeaderValue {
        loop {
            let now = self.listener.workload().and_then(|pod| asked(&pod, self.deadline));
            if let Some(asked) = now.filter(|asked| self.heard.as_ref() != Some(asked)) {
                return asked;
            }
            self.listener.told().await;
        }
    }
}

/// The move that the pod's agent is to begin. One that nobody waits for any more is none: a container that was started anew would
/// stop its program for it.
fn asked(pod: &Workload, usual: Duration) -> Option<HeaderValue> {
    let moving = pod.moving.as_ref().filter(|moving| moving.step == Step::Asked)?;
    matches!(stands(pod, usual), Standing::UnderWay { .. })
        .then(|| HeaderValue::from_str(&moving.asked).ok())?
}

fn stands(pod: &Workload, usual: Duration) -> Standing {
    standing(pod.moving.as_ref(), pod.eviction_deadline.unwrap_or(usual), Timestamp::now())
}

/// How many wait for others, and how many for their checkpoint.
pub fn now(app: &Shared) -> BTreeMap<&'static str, usize> {
    let mut counted = BTreeMap::from([("others", 0), ("checkpoint", 0)]);
    for pod in app.workloads.iter().flat_map(|workloads| workloads.moved()) {
        let waits_for = match stands(&pod, app.eviction_deadline) {
            Standing::Waits(_) => "others",
            Standing::UnderWay { .. } => "checkpoint",
            Standing::None | Standing::Over(_) => continue,
        };
        *counted.entry(waits_for).or_default() += 1;
    }
    counted
}
