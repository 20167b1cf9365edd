//! The signals: what on a Node means that it is going away. Pure; one table.

use crik_api::Reason;

use crate::node::{Condition, Node};

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The node goes away for certain.
    ShuttingDown,
    /// The node is being drained, which can be taken back.
    Draining,
    /// No new pods are scheduled to it.
    Cordoned,
    /// A candidate only: a hint, and no reason for a checkpoint.
    Candidate,
    /// Comes too late for pods to get a SIGTERM; what is left to see of a shutdown.
    TooLate,
}

/// One row of the table.
struct Signal {
    name: &'static str,
    class: Class,
    matcher: Matcher,
}

/// What has to stand on the Node.
enum Matcher {
    /// `spec.unschedulable` is true.
    Unschedulable,
    /// There is a taint with this key, whatever its value and effect.
    Taint(&'static str),
    /// There is a condition of this type, status and reason, whose message contains this text.
    Condition { kind: &'static str, status: &'static str, reason: &'static str, message: &'static str },
}

/// All signals, each with who writes it and from where that is known.
static TABLE: [Signal; 5] = [
    // Kubelet, graceful node shutdown (KEP-2000, pkg/kubelet/nodeshutdown).
    Signal {
        name: "kubelet-shutdown",
        class: Class::ShuttingDown,
        // Contained, since the kubelet joins the messages of all errors there are.
        matcher: Matcher::Condition {
            kind: "Ready",
            status: "False",
            reason: "KubeletNotReady",
            message: "node is shutting down",
        },
    },
    // Cluster autoscaler, right before it drains; removed if it changes its mind (utils/taints).
    Signal {
        name: "autoscaler-to-be-deleted",
        class: Class::Draining,
        matcher: Matcher::Taint("ToBeDeletedByClusterAutoscaler"),
    },
    // Cluster autoscaler, while a node is not needed (utils/taints).
    Signal {
        name: "autoscaler-candidate",
        class: Class::Candidate,
        matcher: Matcher::Taint("DeletionCandidateOfClusterAutoscaler"),
    },
    // kubectl cordon and drain, and every tool built on them (kubectl pkg/drain).
    Signal { name: "cordon", class: Class::Cordoned, matcher: Matcher::Unschedulable },
    // Cloud node lifecycle controller, when the machine is off already (k8s.io/cloud-provider/api).
    Signal {
        name: "cloud-shutdown",
        class: Class::TooLate,
        matcher: Matcher::Taint("node.cloudprovider.kubernetes.io/shutdown"),
    },
];

impl Matcher {
    /// What stands on the Node, in words a person can search for, if it is this.
    fn observed(&self, node: &Node) -> Option<String> {
        match self {
            Self::Unschedulable => node.unschedulable.then(|| "spec.unschedulable".to_owned()),
            Self::Taint(key) => {
                let taint = node.taints.iter().find(|taint| taint.key == *key)?;
                Some(format!("taint {}:{}", taint.key, taint.effect))
            }
            Self::Condition { kind, status, reason, message } => {
                let wanted = |c: &&Condition| {
                    c.kind == *kind
                        && c.status == *status
                        && c.reason == *reason
                        && c.message.contains(message)
                };
                let found = node.conditions.iter().find(wanted)?;
                Some(format!("condition {kind}={status}, {reason}: {}", found.message))
            }
        }
    }
}

/// The signals that one look at a node shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation(Vec<(Class, Reason)>);

impl Observation {
    /// The signals of `class`.
    pub fn of(&self, class: Class) -> Vec<Reason> {
        self.0.iter().filter(|(found, _)| *found == class).map(|(_, reason)| reason.clone()).collect()
    }

    /// True if there is a signal of `class`.
    pub fn has(&self, class: Class) -> bool {
        self.0.iter().any(|(found, _)| *found == class)
    }
}

/// Looks at a node.
pub fn observe(node: &Node) -> Observation {
    let found = TABLE.iter().filter_map(|signal| {
        let observed = signal.matcher.observed(node)?;
        Some((signal.class, Reason { signal: signal.name.to_owned(), observed }))
    });
    Observation(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Taint;

    fn with_ready(status: &str, reason: &str, message: &str) -> Node {
        let own = |text: &str| text.to_owned();
        let ready =
            Condition { kind: own("Ready"), status: own(status), reason: own(reason), message: own(message) };
        Node { conditions: vec![ready], ..Node::default() }
    }

    #[test]
    fn the_kubelets_shutdown_is_seen_among_other_errors() {
        let joined = "container runtime is down, node is shutting down";
        let reasons = observe(&with_ready("False", "KubeletNotReady", joined)).of(Class::ShuttingDown);
        assert_eq!(reasons[0].signal, "kubelet-shutdown");
        assert!(reasons[0].observed.contains(joined));
    }

    #[test]
    fn a_node_that_is_merely_not_ready_is_not_shutting_down() {
        for (status, message) in
            [("False", "runtime network not ready"), ("Unknown", "node is shutting down")]
        {
            let node = with_ready(status, "KubeletNotReady", message);
            assert!(!observe(&node).has(Class::ShuttingDown), "{message}");
        }
    }

    #[test]
    fn the_autoscalers_taints_are_told_apart() {
        let tainted = |key: &str| Node {
            taints: vec![Taint { key: key.to_owned(), effect: "NoSchedule".to_owned() }],
            ..Node::default()
        };
        assert!(observe(&tainted("ToBeDeletedByClusterAutoscaler")).has(Class::Draining));
        assert!(observe(&tainted("DeletionCandidateOfClusterAutoscaler")).has(Class::Candidate));
        assert!(observe(&tainted("node.cloudprovider.kubernetes.io/shutdown")).has(Class::TooLate));
        assert_eq!(observe(&tainted("example.com/other")), Observation::default());
    }
}
