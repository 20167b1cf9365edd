//! What an Event says. Pure.

use crik_api::{NodeState, Reason};
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use crate::base::cluster_event::{self, Told};
use crate::base::limits;
use crate::index::NodeChange;

/// Where the Events of objects without a namespace are (kubernetes/client-go tools/record).
pub const NAMESPACE: &str = "default";

/// The Event of a node that begins to shut down or ends to.
pub fn event(change: &NodeChange, instance: &str, now: Timestamp) -> Event {
    let status = &change.status;
    let (reason, is_warning, message) = match status.state {
        NodeState::ShuttingDown => {
            ("NodeShuttingDown", true, format!("Node is going away: {}", said(&status.reasons)))
        }
        NodeState::Gone => ("NodeGone", false, "Node has shut down and was deleted".to_owned()),
        state => ("NodeShutdownOver", false, format!("Node is not shutting down any more; it is {state}")),
    };
    cluster_event::event(Told {
        about: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(status.name.clone()),
            uid: Some(change.uid.to_string()),
            ..ObjectReference::default()
        },
        namespace: NAMESPACE,
        reason,
        is_warning,
        message,
        // The same for the same shutdown, whoever sees it and how often.
        distinct: &[&change.uid, &change.boot_id],
        instance,
        at: now,
    })
}

/// What is new in an Event that is there already, as `there`; none if another replica has told it already. It is to be
/// refused if somebody else changes it meanwhile, or two would count the same.
pub fn again(event: &Event, there: &Event) -> Option<Event> {
    let time = |event: &Event| event.last_timestamp.as_ref().map(|Time(time)| *time);
    let pause = time(event)?.duration_since(time(there).unwrap_or(Timestamp::MIN));
    (pause.unsigned_abs() >= limits::LATCH).then(|| Event {
        metadata: ObjectMeta {
            resource_version: there.metadata.resource_version.clone(),
            ..ObjectMeta::default()
        },
        count: Some(there.count.unwrap_or(1).saturating_add(1)),
        last_timestamp: event.last_timestamp.clone(),
        message: event.message.clone(),
        ..Event::default()
    })
}

/// False for what a replica finds when it starts, which may have happened long ago.
pub fn is_news(change: &NodeChange) -> bool {
    change.was != NodeState::Unknown
}

fn said(reasons: &[Reason]) -> String {
    let all: Vec<String> =
        reasons.iter().map(|reason| format!("{} ({})", reason.signal, reason.observed)).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use crik_api::NodeStatus;

    use super::*;

    fn change(was: NodeState, state: NodeState) -> NodeChange {
        let reason =
            Reason { signal: "kubelet-shutdown".to_owned(), observed: "condition Ready=False".to_owned() };
        NodeChange {
            was,
            status: NodeStatus {
                name: "a".to_owned(),
                state,
                version: String::new(),
                reasons: vec![reason],
                hints: Vec::new(),
                stale: false,
            },
            uid: "0f3a".into(),
            boot_id: "B1_x".into(),
            text: std::sync::OnceLock::new(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_shutdown_is_a_warning_with_its_reasons() {
        let event = event(&change(NodeState::Ready, NodeState::ShuttingDown), "pod-1", at(1));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        let said = "Node is going away: kubelet-shutdown (condition Ready=False)";
        assert_eq!(event.message.as_deref(), Some(said));
        assert_eq!(event.involved_object.uid.as_deref(), Some("0f3a"));
    }

    #[test]
    fn its_end_is_another_event() {
        let begun = event(&change(NodeState::Ready, NodeState::ShuttingDown), "", at(1));
        let over = event(&change(NodeState::ShuttingDown, NodeState::Ready), "", at(1));
        assert_eq!(over.type_.as_deref(), Some("Normal"));
        assert_ne!(begun.metadata.name, over.metadata.name);
    }

    #[test]
    fn the_name_is_the_same_for_every_replica_at_any_time_and_a_legal_one() {
        let shutdown = |was| change(was, NodeState::ShuttingDown);
        let one = event(&shutdown(NodeState::Ready), "pod-1", at(1)).metadata.name;
        let other = event(&shutdown(NodeState::Unknown), "pod-2", at(2)).metadata.name;
        assert_eq!(one, other);
        assert_eq!(one.as_deref(), Some("nodeshuttingdown-0f3a-b1-x"));
        let rebooted = NodeChange { boot_id: "b2".into(), ..shutdown(NodeState::Ready) };
        assert_ne!(event(&rebooted, "pod-1", at(1)).metadata.name, one);
        let unknown_boot = NodeChange { boot_id: "".into(), ..shutdown(NodeState::Ready) };
        let name = event(&unknown_boot, "pod-1", at(1)).metadata.name;
        assert_eq!(name.as_deref(), Some("nodeshuttingdown-0f3a"));
    }

    /// A node does not begin to shut down again sooner than it can be let go.
    #[test]
    fn what_happens_again_is_counted_once_however_many_replicas_see_it() {
        let shutdown = |seconds| event(&change(NodeState::Ready, NodeState::ShuttingDown), "", at(seconds));
        let mut there = shutdown(1000);
        there.metadata.resource_version = Some("7".to_owned());
        for other in [999, 1000, 1029] {
            assert_eq!(again(&shutdown(other), &there), None);
        }
        let second = again(&shutdown(1030), &there).unwrap();
        assert_eq!((second.count, second.last_timestamp), (Some(2), Some(Time(at(1030)))));
        assert_eq!(second.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(again(&shutdown(1030), &Event::default()).unwrap().count, Some(2));
    }

    #[test]
    fn what_is_found_at_the_start_is_no_news() {
        assert!(!is_news(&change(NodeState::Unknown, NodeState::ShuttingDown)));
        assert!(is_news(&change(NodeState::Draining, NodeState::ShuttingDown)));
    }
}
