use super::*;
use crate::signals::node::{Condition, Taint};

fn observe(node: &Node) -> Observation {
    Signals::built_in().observe(node)
}

fn with_condition(kind: &str, status: &str, reason: &str, message: &str) -> Node {
    let own = |text: &str| text.to_owned();
    let condition =
        Condition { kind: own(kind), status: own(status), reason: own(reason), message: own(message) };
    Node { conditions: vec![condition], ..Node::default() }
}

fn tainted(key: &str, value: &str) -> Node {
    let taint = Taint { key: key.to_owned(), value: value.to_owned(), effect: "NoSchedule".to_owned() };
    Node { taints: vec![taint], ..Node::default() }
}

fn shown(node: &Node) -> Vec<String> {
    observe(node).signals().map(str::to_owned).collect()
}

#[test]
fn the_kubelets_shutdown_is_seen_among_other_errors() {
    let joined = "container runtime is down, node is shutting down";
    let node = with_condition("Ready", "False", "KubeletNotReady", joined);
    let reasons = observe(&node).of(Class::ShuttingDown);
    assert_eq!(reasons[0].signal, "kubelet-shutdown");
    assert!(reasons[0].observed.contains(joined));
}

#[test]
fn a_node_that_is_merely_not_ready_is_not_shutting_down() {
    for (status, message) in [("False", "runtime network not ready"), ("Unknown", "node is shutting down")] {
        let node = with_condition("Ready", status, "KubeletNotReady", message);
        assert!(!observe(&node).has(Class::ShuttingDown), "{message}");
    }
}

#[test]
fn a_silent_kubelet_is_no_trace_of_a_shutdown() {
    let node =
        with_condition("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.");
    assert_eq!(shown(&node), ["kubelet-silent"]);
    assert!(!observe(&node).has(Class::TooLate));
}

#[test]
fn karpenters_taint_means_a_drain_and_its_deletion_the_end() {
    let mut node = tainted("karpenter.sh/disrupted", "");
    node.finalizers = vec!["karpenter.sh/termination".to_owned()];
    assert_eq!(shown(&node), ["karpenter-disrupted"]);
    node.deleting = true;
    assert_eq!(shown(&node), ["karpenter-termination", "karpenter-disrupted"]);
    node.finalizers = vec!["example.com/other".to_owned()];
    assert_eq!(shown(&node), ["karpenter-disrupted"]);
    assert_eq!(shown(&tainted("karpenter.sh/disruption", "disrupting")), ["karpenter-disruption"]);
    assert!(shown(&tainted("karpenter.sh/disruption", "candidate")).is_empty());
}

#[test]
fn azures_events_are_told_apart_by_their_message() {
    let event =
        |message: &str| shown(&with_condition("VMEventScheduled", "True", "VMEventScheduled", message));
    for fatal in ["Preempt", "Terminate", "Reboot", "Redeploy"] {
        assert_eq!(event(&format!("{fatal} Scheduled: Mon, 02 Mar 2026 19:01:45 GMT")), ["aks-vm-event"]);
    }
    assert_eq!(event("Freeze Scheduled. No Reboot is needed."), ["aks-vm-freeze"]);
    assert_eq!(event("Hop Scheduled"), ["aks-vm-event-other"]);
    let none = with_condition("VMEventScheduled", "False", "NoVMEventScheduled", "VM has no scheduled event");
    assert!(shown(&none).is_empty());
    let spot =
        |message| shown(&with_condition("PreemptionScheduled", "True", "SpotEvictionIncoming", message));
    assert_eq!(spot("Preempt Started."), ["aks-preemption"]);
    assert_eq!(spot("SpotRebalanceRecommendation Advisory: Mon, 02 Mar 2026"), ["aks-rebalance-advisory"]);
}

#[test]
fn azures_draining_taint_is_certain_for_an_eviction_only() {
    let key = "cloudprovider.azure.microsoft.com/draining";
    assert_eq!(shown(&tainted(key, "spot-eviction")), ["aks-spot-eviction"]);
    assert_eq!(shown(&tainted(key, "")), ["aks-draining"]);
}

#[test]
fn openshifts_drain_is_wanted_until_it_is_done() {
    let drain = |wanted: &str, done: Option<&str>| {
        let mut node = Node::default();
        let key = |name: &str| format!("machineconfiguration.openshift.io/{name}");
        node.annotations.insert(key("desiredDrain"), wanted.to_owned());
        node.annotations.extend(done.map(|done| (key("lastAppliedDrain"), done.to_owned())));
        shown(&node)
    };
    assert_eq!(drain("drain-rendered-b", Some("uncordon-rendered-a")), ["openshift-drain"]);
    assert_eq!(drain("drain-rendered-b", None), ["openshift-drain"]);
    assert!(drain("drain-rendered-b", Some("drain-rendered-b")).is_empty());
    assert!(drain("uncordon-rendered-b", Some("drain-rendered-b")).is_empty());
}

#[test]
fn only_an_effect_that_evicts_makes_a_node_that_is_not_well_go_away() {
    let with_effect = |key: &str, effect: &str| {
        let taint = Taint { effect: effect.to_owned(), ..tainted(key, "").taints[0].clone() };
        shown(&Node { taints: vec![taint], ..Node::default() })
    };
    for (key, signal) in [
        ("node.kubernetes.io/not-ready", "not-ready-eviction"),
        ("node.kubernetes.io/unreachable", "unreachable-eviction"),
        ("example.com/maintenance", "no-execute-taint"),
    ] {
        assert_eq!(with_effect(key, "NoExecute"), [signal]);
        assert!(with_effect(key, "NoSchedule").is_empty(), "{key}");
    }
    assert_eq!(
        with_effect("medik8s.io/remediation", "NoExecute"),
        ["medik8s-remediation", "no-execute-taint"]
    );
    // What Kubernetes itself writes has rows of its own, or says nothing of the node's end.
    assert!(with_effect("node.kubernetes.io/memory-pressure", "NoExecute").is_empty());
}

#[test]
fn cast_ai_says_why_it_drains() {
    let labelled = |value: &str| {
        let label = ("autoscaling.cast.ai/draining".to_owned(), value.to_owned());
        shown(&Node { labels: [label].into(), ..Node::default() })
    };
    assert_eq!(labelled("spot-interruption"), ["castai-spot-interruption"]);
    for other in ["spot-prediction", "spot-fallback", "rebalancing", "manual"] {
        assert_eq!(labelled(other), ["castai-draining"], "{other}");
    }
}

#[test]
fn machines_that_terminate_do_so_for_known_reasons() {
    for reason in ["TerminationRequested", "ScaleDown", "Unhealthy"] {
        assert_eq!(shown(&with_condition("Terminating", "True", reason, "")), ["machine-terminating"]);
    }
    assert!(shown(&with_condition("Terminating", "False", "ScaleDown", "")).is_empty());
    assert!(shown(&with_condition("Terminating", "True", "Testing", "")).is_empty());
}

#[test]
fn a_maintenance_that_is_over_is_no_signal() {
    let labelled = |value: &str| {
        let label = ("cloud.google.com/active-node-maintenance".to_owned(), value.to_owned());
        shown(&Node { labels: [label].into(), ..Node::default() })
    };
    assert_eq!(labelled("ONGOING"), ["gke-maintenance"]);
    assert!(labelled("COMPLETE").is_empty());
}

#[test]
fn a_foreign_taint_is_no_signal_and_a_long_text_is_cut() {
    assert!(shown(&tainted("example.com/other", "")).is_empty());
    let message = format!("node is shutting down{}", "é".repeat(10_000));
    let reasons =
        observe(&with_condition("Ready", "False", "KubeletNotReady", &message)).of(Class::ShuttingDown);
    assert_eq!(reasons[0].observed.chars().count(), crate::base::limits::OBSERVED_MAX + 1);
}
