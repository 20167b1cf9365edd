//! Numbers of workloads, for metrics. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crik_api::{NodeState, Protection};
use k8s_openapi::jiff::Timestamp;

use super::workload::{Phase, Workload};

/// The word for a pod whose agent has told nothing.
const UNHEARD: &str = "unheard";

/// What is counted of all.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    /// How many pods that have not ended are protected or not, on nodes in which state.
    pub pods: BTreeMap<(&'static str, &'static str), usize>,
    /// How old the newest checkpoint of each pod is that runs and has one, in seconds, the youngest first.
    pub ages: Vec<f64>,
}

impl Counts {
    /// Of these pods; `state_of` says how a node is.
    pub fn of(pods: &[Arc<Workload>], mut state_of: impl FnMut(&str) -> NodeState, now: Timestamp) -> Self {
        let mut counts = Self::default();
        for state in NodeState::ALL {
            for says in [Protection::Protected.as_str(), Protection::NotProtected.as_str(), UNHEARD] {
                counts.pods.insert((says, state.as_str()), 0);
            }
        }
        for pod in pods.iter().filter(|pod| !pod.phase.has_ended()) {
            *counts.pods.entry((says(pod), state_of(&pod.node).as_str())).or_default() += 1;
            counts.ages.extend(age(pod, now).filter(|_| pod.phase == Phase::Running));
        }
        counts.ages.sort_by(f64::total_cmp);
        counts
    }

    /// The age that this part of all pods is not above; none if no pod has a checkpoint.
    pub fn age_of(&self, part: f64) -> Option<f64> {
        let rank = (part * self.ages.len() as f64).ceil() as usize;
        self.ages.get(rank.max(1) - 1).copied()
    }
}

fn says(pod: &Workload) -> &'static str {
    let told = pod
        .protection
        .as_ref()
        .map(|told| if told.protected { Protection::Protected } else { Protection::NotProtected });
    told.map_or(UNHEARD, Protection::as_str)
}

/// How long ago the pod's newest checkpoint was durable, in seconds.
pub fn age(pod: &Workload, now: Timestamp) -> Option<f64> {
    let at: Timestamp = pod.last_checkpoint.as_ref()?.at.parse().ok()?;
    Some(now.duration_since(at).as_secs_f64().max(0.0))
}

#[cfg(test)]
mod tests {
    use crik_api::report::{Checkpointed, LastCheckpoint, Occasion, ToldProtection};

    use super::*;

    fn pod(node: &str, protected: Option<bool>, checkpoint: Option<&str>) -> Arc<Workload> {
        let checkpoint = checkpoint.map(|at| {
            let checkpoint = Checkpointed {
                generation: 1,
                occasion: Occasion::Interval,
                frozen_seconds: 0.0,
                durable_seconds: 0.0,
                bytes: 0,
                stored_bytes: 0,
                new_bytes: 0,
            };
            Box::new(LastCheckpoint { at: at.to_owned(), checkpoint })
        });
        Arc::new(Workload {
            node: node.into(),
            phase: Phase::Running,
            protection: protected.map(|protected| ToldProtection { protected, why: None }),
            last_checkpoint: checkpoint,
            ..Workload::default()
        })
    }

    #[test]
    fn pods_are_counted_by_what_is_known_of_them_and_those_that_have_ended_are_not() {
        let ended = Workload { phase: Phase::Succeeded, ..(*pod("a", Some(true), None)).clone() };
        let pods = [
            pod("a", Some(true), Some("2026-11-27T10:00:00.000Z")),
            pod("b", Some(false), Some("2026-11-27T10:00:50Z")),
            pod("b", None, Some("soon")),
            Arc::new(ended),
        ];
        let state_of = |node: &str| if node == "a" { NodeState::Draining } else { NodeState::Ready };
        let counts = Counts::of(&pods, state_of, "2026-11-27T10:01:00Z".parse().unwrap());
        let some: Vec<_> =
            counts.pods.iter().filter(|(_, number)| **number > 0).map(|(key, _)| *key).collect();
        assert_eq!(some, [("not-protected", "ready"), ("protected", "draining"), ("unheard", "ready")]);
        assert_eq!(counts.ages, [10.0, 60.0]);
        assert_eq!([0.5, 0.9, 1.0].map(|part| counts.age_of(part)), [Some(10.0), Some(60.0), Some(60.0)]);
        assert_eq!(Counts::default().age_of(1.0), None);
    }
}
