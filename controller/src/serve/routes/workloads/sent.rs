//! Workloads as they are sent, put together a portion at a time: a list of 10,000 takes no more memory than one of a few.

use std::sync::Arc;
use std::vec::IntoIter;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use crik_api::workload;
use futures_util::stream;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::query::Page;
use crate::base::limits;
use crate::serve::app::App;
use crate::serve::lists::Withdrawn;
use crate::serve::node_states::NodeStates;
use crate::workloads::{Workload, age};

/// What is left to send.
struct Left {
    states: NodeStates,
    workloads: IntoIter<Arc<Workload>>,
    /// What is to stand before the next one.
    before: &'static [u8],
    /// What is to stand behind the last; none when that is sent.
    end: Option<Vec<u8>>,
    deadline: Instant,
}

/// The page.
pub fn answer(app: &App, page: Page) -> Response {
    let left = Left {
        states: NodeStates::new(Arc::clone(&app.0.index)),
        workloads: page.workloads.into_iter(),
        before: br#"{"workloads":["#,
        end: Some(
            page.next.map_or_else(|| b"]}".to_vec(), |pod| format!("],\"continue\":\"{pod}\"}}").into()),
        ),
        deadline: Instant::now() + limits::SENDING,
    };
    let portions = stream::unfold(left, async |mut left| left.portion().map(|portion| (portion, left)));
    ([(CONTENT_TYPE, "application/json")], Body::from_stream(portions)).into_response()
}

impl Left {
    fn portion(&mut self) -> Option<Result<Bytes, Withdrawn>> {
        self.end.as_ref()?;
        if Instant::now() > self.deadline {
            return Some(Err(Withdrawn));
        }
        let (mut portion, now) = (Vec::new(), Timestamp::now());
        while portion.len() < limits::PORTION
            && let Some(one) = self.workloads.next()
        {
            portion.extend_from_slice(std::mem::replace(&mut self.before, b","));
            let told = self.told(&one, now);
            // Into memory, and of a type that can always be written.
            let _ = serde_json::to_writer(&mut portion, &told);
        }
        if self.workloads.len() == 0 {
            if self.before != b"," {
                portion.extend_from_slice(self.before);
            }
            portion.extend(self.end.take()?);
        }
        Some(Ok(portion.into()))
    }

    fn told(&mut self, one: &Workload, now: Timestamp) -> workload::Workload {
        workload::Workload {
            namespace: one.namespace().to_owned(),
            name: one.name().to_owned(),
            uid: one.uid.to_string(),
            node: Some(one.node.to_string()).filter(|node| !node.is_empty()),
            node_state: self.states.of(&one.node),
            phase: one.phase.as_str().to_owned(),
            ending: one.is_ending,
            protection: one.protection.clone(),
            last_checkpoint: one.last_checkpoint.as_deref().cloned(),
            checkpoint_age_seconds: age(one, now),
            last_failure: one.last_failure.as_deref().cloned(),
            last_start: one.last_start.as_deref().cloned(),
            moving: one.moving.clone(),
        }
    }
}
