//! A change as the API server takes it: a strategic merge patch of the Pod's status, since that merges conditions by their type, where
//! any other kind would replace those of the kubelet. Pure.

use crik_api::report::RESTORED;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::change::{Change, Restored};
use crate::workloads::Workload;

/// Refused by the API server if it is another pod by now, or was changed since it was looked at.
pub fn patch(pod: &Workload, change: &Change) -> Value {
    let annotations: Map<String, Value> =
        change.annotations.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
    let metadata =
        json!({"uid": pod.uid, "resourceVersion": pod.resource_version, "annotations": annotations});
    match &change.restored {
        Some(restored) => {
            let conditions = [condition(restored, change.at)];
            json!({"metadata": metadata, "status": {"conditions": conditions}})
        }
        None => json!({"metadata": metadata}),
    }
}

/// The time is that of the last turn, so it stays if there is none (k8s.io/api/core/v1, `PodCondition`).
fn condition(restored: &Restored, at: Timestamp) -> Value {
    let status = if restored.is_so { "True" } else { "False" };
    let mut condition = json!({"type": RESTORED, "status": status, "reason": restored.reason});
    if restored.turns {
        condition["lastTransitionTime"] = json!(format!("{at:.0}"));
    }
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_condition_is_that_of_its_last_turn() {
        let at = "2026-11-27T10:00:00.7Z".parse().unwrap();
        let of = |turns| condition(&Restored { is_so: true, reason: "Resumed", turns }, at);
        assert_eq!(of(true)["lastTransitionTime"], "2026-11-27T10:00:00Z");
        assert!(of(false).get("lastTransitionTime").is_none() && of(false)["status"] == "True");
    }
}
