//! The pods whose moves are not over, by what the watch has told and by what was begun here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::base::limits;
use crate::evict::{Candidate, Ledger, Other, Reason, Standing, standing};
use crate::workloads::Workload;

/// For how long evictions of a pod may be held up, where `usual` holds for those that say nothing.
pub fn deadline(pod: &Workload, usual: Duration) -> Duration {
    pod.eviction_deadline.unwrap_or(usual)
}

/// Those of these pods, and those that this replica has begun.
pub fn of<'a>(
    moved: &'a [Arc<Workload>],
    ledger: &'a mut Ledger,
    usual: Duration,
    now: Timestamp,
) -> Vec<Other<'a>> {
    let mut others = BTreeMap::new();
    for pod in moved {
        if !pod.is_to_be_kept() {
            ledger.forget(&pod.pod);
            continue;
        }
        let who = |since| Candidate { pod: &pod.pod, node: &pod.node, since };
        match standing(pod.moving.as_ref(), deadline(pod, usual), now) {
            Standing::UnderWay { since } => {
                ledger.forget(&pod.pod);
                others.insert(&*pod.pod, Other { who: who(since), waits: false });
            }
            Standing::Waits(since) if ledger.is_wanted(&pod.pod, written(pod), now) => {
                others.insert(&*pod.pod, Other { who: who(since), waits: true });
            }
            Standing::Over(_) => ledger.forget(&pod.pod),
            Standing::Waits(_) | Standing::None => {}
        }
    }
    // They wait no more, although the watch has not told of that.
    for (pod, begun) in ledger.begun(now) {
        let who = Candidate { pod, node: &begun.node, since: begun.at };
        others.insert(pod, Other { who, waits: false });
    }
    others.into_values().collect()
}

/// The labels of the other pods of its namespace whose programs stand still for an eviction, or are about to. None stands for one that
/// this replica has begun before, of which the watch has not told yet.
pub fn stopped<'a>(
    own: &Workload,
    moved: &'a [Arc<Workload>],
    ledger: &mut Ledger,
    usual: Duration,
    now: Timestamp,
) -> Vec<Option<&'a BTreeMap<String, String>>> {
    let is_other = |pod: &str| {
        let namespace = pod.split_once('/').map(|(namespace, _)| namespace);
        *pod != *own.pod && namespace == Some(own.namespace())
    };
    let stands_still = |pod: &Workload| {
        let standing = standing(pod.moving.as_ref(), deadline(pod, usual), now);
        let is_stopped = matches!(standing, Standing::UnderWay { .. } | Standing::Over(Reason::Durable));
        is_stopped && pod.is_to_be_kept()
    };
    let told = |pod: &str| moved.iter().any(|one| *one.pod == *pod && stands_still(one));
    let begun: Vec<_> = ledger.begun(now).map(|(pod, begun)| (begun.at, pod)).collect();
    let own_turn = begun.iter().find(|(_, pod)| **pod == *own.pod);
    let is_before = |one: &(Timestamp, &str)| own_turn.is_none_or(|own| one < own);
    let untold = begun.iter().filter(|one| is_other(one.1) && is_before(one) && !told(one.1));
    let known = moved.iter().filter(|pod| is_other(&pod.pod) && stands_still(pod));
    known.map(|pod| Some(&pod.labels)).chain(untold.map(|_| None)).collect()
}

/// Whether it was written so long ago that it waits that the other replica may not know that it still does.
pub fn is_old(pod: &Workload, now: Timestamp) -> bool {
    written(pod).is_none_or(|at| at + limits::WAITING_WRITTEN <= now)
}

fn written(pod: &Workload) -> Option<Timestamp> {
    pod.moving.as_ref()?.at.parse().ok()
}
