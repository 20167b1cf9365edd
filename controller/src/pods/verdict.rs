//! Who ends a pod, from its object alone. Pure.

use crik_api::{PodState, Reason};

use super::pod::{Condition, Pod, Status};
use crate::base::shortened::shortened;

/// Conditions by which others than the owner end a pod: Kubernetes' own, and that of Kueue, which sets it on pods that it queues
/// one by one before it deletes them (kueue/pkg/controller/jobs/pod, `ConditionTypeTerminationTarget`).
const DISRUPTIONS: [&str; 2] = ["DisruptionTarget", "TerminationTarget"];

/// The reasons of the first (k8s.io/api/core/v1, `PodReason…`; stable since Kubernetes 1.31), and what each is called here.
const KNOWN: [(&str, &str); 6] = [
    ("PreemptionByScheduler", "scheduler-preemption"),
    ("DeletionByTaintManager", "taint-eviction"),
    ("DeletionByDeviceTaintManager", "device-taint-eviction"),
    ("EvictionByEvictionAPI", "api-eviction"),
    ("TerminationByKubelet", "kubelet-termination"),
    ("DeletionByPodGC", "pod-gc"),
];

/// `status.reason` of pods that a kubelet ends: `Evicted` (pkg/kubelet/eviction), `Preempting` for a critical pod
/// (pkg/kubelet/preemption), `Terminated` at a shutdown of its machine (pkg/kubelet/nodeshutdown); and `NodeLost`, which the node
/// controller sets while the kubelet is silent. The only trace before there was the condition.
const ENDED_BY_NODE: [(&str, &str); 4] = [
    ("Evicted", "kubelet-eviction"),
    ("Preempting", "kubelet-preemption"),
    ("Terminated", "kubelet-termination"),
    ("NodeLost", "node-lost"),
];

/// `status.reason` of a pod whose `activeDeadlineSeconds` are over (pkg/kubelet, `activeDeadlineHandler`).
const DEADLINE: &str = "DeadlineExceeded";

/// The pod's state and what led to it.
pub fn verdict(pod: &Pod) -> (PodState, Vec<Reason>) {
    let disruptions: Vec<Reason> = pod.status.iter().flat_map(disruptions).collect();
    if !disruptions.is_empty() {
        return (PodState::Disrupted, disruptions);
    }
    match deletion(pod).or_else(|| deadline(pod.status.as_ref()?)) {
        Some(reason) => (PodState::Deleted, vec![reason]),
        None => (PodState::Running, Vec::new()),
    }
}

fn disruptions(status: &Status) -> impl Iterator<Item = Reason> {
    let is_one = |found: &&Condition| found.status == "True" && DISRUPTIONS.contains(&&*found.kind);
    let conditions = status.conditions.iter().flatten().filter(is_one).map(of_condition);
    conditions.chain(by_node(status))
}

fn of_condition(found: &Condition) -> Reason {
    let (reason, message) = (text(&found.reason), text(&found.message));
    let signal = KNOWN.iter().find(|(known, _)| *known == reason).map_or("disruption", |(_, name)| name);
    reason_of(signal, format!("condition {}=True, {reason}: {message}", found.kind))
}

fn by_node(status: &Status) -> Option<Reason> {
    let reason = text(&status.reason);
    let (_, signal) = ENDED_BY_NODE.iter().find(|(known, _)| *known == reason)?;
    Some(reason_of(signal, format!("status.reason {reason}: {}", text(&status.message))))
}

fn deletion(pod: &Pod) -> Option<Reason> {
    let at = pod.metadata.deletion_timestamp.as_ref()?;
    let owners = pod.metadata.owner_references.iter().flatten();
    let owner = owners.filter(|owner| owner.controller == Some(true)).map(|owner| {
        format!(
            "; it belongs to {} {}, so that may have been a rollout or a scale-down",
            owner.kind, owner.name
        )
    });
    let owner: String = owner.collect();
    Some(reason_of("deletion", format!("metadata.deletionTimestamp {at}{owner}")))
}

fn deadline(status: &Status) -> Option<Reason> {
    let over = text(&status.reason) == DEADLINE;
    over.then(|| reason_of("deadline", format!("status.reason {DEADLINE}: {}", text(&status.message))))
}

fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

fn reason_of(signal: &str, observed: String) -> Reason {
    Reason { signal: signal.to_owned(), observed: shortened(observed) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(metadata: &Value, status: &Value) -> (PodState, Vec<String>) {
        let pod = serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap();
        let (state, reasons) = verdict(&pod);
        (state, reasons.into_iter().map(|reason| reason.signal).collect())
    }

    fn disrupted_by(reason: &str) -> Value {
        json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"},
        ]})
    }

    fn deleted() -> Value {
        json!({"uid": "u", "deletionTimestamp": "2026-11-25T10:00:30Z", "deletionGracePeriodSeconds": 30,
               "ownerReferences": [{"kind": "StatefulSet", "name": "web", "controller": true}]})
    }

    #[test]
    fn each_disruption_of_kubernetes_is_told_by_its_name() {
        for (reason, signal) in KNOWN {
            // The scheduler and the eviction API write the condition first and delete then.
            for metadata in [json!({}), deleted()] {
                let expected = (PodState::Disrupted, vec![signal.to_owned()]);
                assert_eq!(of(&metadata, &disrupted_by(reason)), expected);
            }
        }
        assert_eq!(of(&deleted(), &disrupted_by("OfALaterRelease")).1, ["disruption"]);
    }

    #[test]
    fn kueues_own_condition_counts_too() {
        let condition = json!({"type": "TerminationTarget", "status": "True", "reason": "StoppedByKueue"});
        let found = of(&deleted(), &json!({"conditions": [condition]}));
        assert_eq!(found, (PodState::Disrupted, vec!["disruption".to_owned()]));
    }

    #[test]
    fn a_disruption_that_did_not_come_about_is_none() {
        let mut status = disrupted_by("EvictionByEvictionAPI");
        status["conditions"][1]["status"] = json!("False");
        assert_eq!(of(&json!({}), &status), (PodState::Running, Vec::new()));
        assert_eq!(of(&deleted(), &status).0, PodState::Deleted);
    }

    #[test]
    fn what_a_kubelet_ended_is_known_without_the_condition() {
        for (reason, signal) in ENDED_BY_NODE {
            let found = of(&json!({}), &json!({"phase": "Failed", "reason": reason, "message": "m"}));
            assert_eq!(found, (PodState::Disrupted, vec![signal.to_owned()]));
        }
    }

    #[test]
    fn the_owners_wish_is_a_deletion_or_a_deadline() {
        assert_eq!(of(&deleted(), &json!({})), (PodState::Deleted, vec!["deletion".to_owned()]));
        let over = json!({"phase": "Failed", "reason": "DeadlineExceeded"});
        assert_eq!(of(&json!({}), &over), (PodState::Deleted, vec!["deadline".to_owned()]));
    }

    #[test]
    fn a_pod_that_nobody_ends_is_running_whatever_is_null() {
        for status in [json!(null), json!({}), json!({"conditions": null, "reason": null})] {
            let metadata = json!({"deletionTimestamp": null, "ownerReferences": null});
            assert_eq!(of(&metadata, &status), (PodState::Running, Vec::new()));
        }
    }

    #[test]
    fn a_deletion_names_whom_the_pod_belongs_to() {
        let pod: Pod = serde_json::from_value(json!({"metadata": deleted()})).unwrap();
        let observed = &verdict(&pod).1[0].observed;
        assert!(observed.contains("2026-11-25T10:00:30Z; it belongs to StatefulSet web"), "{observed}");
    }
}
