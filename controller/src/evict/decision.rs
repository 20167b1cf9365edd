//! What is answered to an eviction.

use std::time::Duration;

use crik_api::report::Move;
use k8s_openapi::jiff::Timestamp;

use super::reason::Reason;
use super::standing::{Standing, standing};

/// What is known of the pod that is to be evicted.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Whether it runs; one that has not begun, or has ended, has nothing to keep.
    pub is_running: bool,
    /// Whether it is being deleted.
    pub is_ending: bool,
    /// Whether its agent has said that its program could go on elsewhere.
    pub is_protected: bool,
    /// Whether its node goes away whatever is answered.
    pub node_goes: bool,
    /// What stands on it of a move.
    pub moving: Option<&'a Move>,
    /// For how long its evictions may be held up.
    pub deadline: Duration,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Allow(Reason),
    /// It is to be asked again.
    Wait {
        /// Since when it waits.
        since: Timestamp,
        /// Whether that is for other pods' checkpoints; else it is for the pod's own.
        for_others: bool,
    },
    /// The agent is to be told, and the eviction to be asked again.
    Ask,
    /// It is to be written down that it waits for others, and the eviction to be asked again.
    Queue,
}

/// What is answered to an eviction of this pod now. `has_room` says whether one more move may begin, and `budget_allows` whether no
/// PodDisruptionBudget forbids the eviction.
pub fn decide(pod: Option<&Facts<'_>>, has_room: bool, budget_allows: bool, now: Timestamp) -> Verdict {
    let pod = match pod {
        None => return Verdict::Allow(Reason::Unknown),
        Some(pod) if !pod.is_running || pod.is_ending => return Verdict::Allow(Reason::NotRunning),
        Some(pod) if !pod.is_protected => return Verdict::Allow(Reason::Unprotected),
        Some(pod) if pod.node_goes => return Verdict::Allow(Reason::NodeGoes),
        Some(pod) => pod,
    };
    match standing(pod.moving, pod.deadline, now) {
        Standing::Over(reason) => Verdict::Allow(reason),
        Standing::UnderWay { since } => Verdict::Wait { since, for_others: false },
        Standing::None | Standing::Waits(_) if !budget_allows => Verdict::Allow(Reason::Budget),
        Standing::None | Standing::Waits(_) if has_room => Verdict::Ask,
        Standing::Waits(since) => Verdict::Wait { since, for_others: true },
        Standing::None => Verdict::Queue,
    }
}
