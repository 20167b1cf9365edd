//! All built-in signals, each with who writes it and where that is written.
//!
//! Sources were read from 2026-11-23 to 2026-11-26. Every row has a Node that shows it in `fixtures/nodes/`.

use std::borrow::Cow::Borrowed;

use super::matcher::{By, Matcher, NO_EXECUTE, Test, Tests, Text};
use super::signal::{Class, Signal};

/// Anything passes.
const ANY: Tests = Borrowed(&[]);

/// Azure's scheduled events after which what runs on the machine is lost; the fifth and last is Freeze.
/// <https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events>
static FATAL: [Text; 4] =
    [Borrowed("Preempt"), Borrowed("Terminate"), Borrowed("Reboot"), Borrowed("Redeploy")];

/// All signals.
pub static TABLE: [Signal; 49] = [
    // Kubelet, graceful node shutdown (KEP-2000, kubernetes/pkg/kubelet/nodeshutdown). Also the only sign of a GKE spot
    // machine's preemption. The kubelet joins the messages of all errors there are.
    condition("kubelet-shutdown", Class::ShuttingDown, "Ready", "False", &KUBELET_NOT_READY, &SHUTTING_DOWN),
    // Node lifecycle controller, 40 s after the kubelet's last word (kubernetes/pkg/controller/nodelifecycle).
    condition("kubelet-silent", Class::Silent, "Ready", "Unknown", &STATUS_UNKNOWN, &[]),
    // The same, a moment later: the taint manager deletes the pods that do not tolerate it, by default after 300 s
    // (kubernetes/pkg/controller/tainteviction).
    evicting("unreachable-eviction", Class::Unreachable, "node.kubernetes.io/unreachable"),
    // The same for a kubelet that says that it is not well: it lives, so its pods get their SIGTERM. No new ones come to it.
    evicting("not-ready-eviction", Class::Evicting, "node.kubernetes.io/not-ready"),
    // AWS node termination handler with TAINT_NODE (aws-node-termination-handler/pkg/node). Its taint's value is the
    // event's id. Spot interruption, 120 s ahead.
    taint("aws-spot-itn", Class::ShuttingDown, "aws-node-termination-handler/spot-itn", ANY),
    // The same; a reboot or retirement that EC2 has scheduled.
    taint(
        "aws-scheduled-maintenance",
        Class::ShuttingDown,
        "aws-node-termination-handler/scheduled-maintenance",
        ANY,
    ),
    // The same; the auto scaling group ends the machine.
    taint(
        "aws-asg-lifecycle-termination",
        Class::ShuttingDown,
        "aws-node-termination-handler/asg-lifecycle-termination",
        ANY,
    ),
    // The same; EC2 only advises to move.
    taint(
        "aws-rebalance-recommendation",
        Class::Candidate,
        "aws-node-termination-handler/rebalance-recommendation",
        ANY,
    ),
    // Karpenter, once the Node is deleted (karpenter/pkg/controllers/node/termination): it drains and ends the machine,
    // and nothing takes that back.
    Signal {
        name: Borrowed("karpenter-termination"),
        class: Class::ShuttingDown,
        matcher: Matcher::Deleting { finalizer: Borrowed("karpenter.sh/termination") },
    },
    // Karpenter 1.0 and later, before it deletes the Node; removed if it cannot replace it (karpenter/pkg/apis/v1).
    taint("karpenter-disrupted", Class::Draining, "karpenter.sh/disrupted", ANY),
    // The same before 1.0 (karpenter/pkg/apis/v1beta1).
    taint("karpenter-disruption", Class::Draining, "karpenter.sh/disruption", Borrowed(&DISRUPTING)),
    // Cluster autoscaler, right before it drains; removed if it changes its mind (autoscaler/utils/taints).
    taint("autoscaler-to-be-deleted", Class::Draining, "ToBeDeletedByClusterAutoscaler", ANY),
    // Cluster autoscaler, while a node is not needed (autoscaler/utils/taints).
    taint("autoscaler-candidate", Class::Candidate, "DeletionCandidateOfClusterAutoscaler", ANY),
    // GKE, host maintenance of machines that cannot be moved (cloud.google.com/kubernetes-engine/docs/how-to/
    // monitor-disruptions-gpu-tpu). It has begun.
    label("gke-maintenance", Class::ShuttingDown, "cloud.google.com/active-node-maintenance", &ONGOING),
    // The same; the machine ends within minutes.
    taint(
        "gke-impending-termination",
        Class::ShuttingDown,
        "cloud.google.com/impending-node-termination",
        ANY,
    ),
    // The same; the window in which it may happen is open.
    taint("gke-maintenance-window", Class::Candidate, "cloud.google.com/maintenance-window-started", ANY),
    // The same; days ahead. The value is a Unix time.
    label("gke-maintenance-scheduled", Class::Candidate, "cloud.google.com/scheduled-maintenance-time", &[]),
    // The same; the latest time at which it begins.
    label(
        "gke-maintenance-latest",
        Class::Candidate,
        "cloud.google.com/scheduled-maintenance-time-latest",
        &[],
    ),
    // AKS, node problem detector on spot machines: "Preempt Scheduled: …" or "Preempt Started.", reason
    // SpotEvictionIncoming (Azure/AKS#3528, Azure/karpenter-provider-azure pkg/controllers/.../interruption). An
    // advisory has the same type, status and reason.
    condition("aks-preemption", Class::ShuttingDown, "PreemptionScheduled", "True", &[], &NO_ADVISORY),
    // The same; "SpotRebalanceRecommendation Advisory: …" only advises to move.
    condition("aks-rebalance-advisory", Class::Candidate, "PreemptionScheduled", "True", &[], &ADVISORY),
    // AKS, node problem detector on all machines: the message begins with the event's type
    // (learn.microsoft.com/azure/aks/node-problem-detector).
    condition("aks-vm-event", Class::ShuttingDown, "VMEventScheduled", "True", &[], &FATAL_EVENT),
    // The same; the machine stands still for some seconds and then goes on.
    condition("aks-vm-freeze", Class::Candidate, "VMEventScheduled", "True", &[], &FREEZE),
    // The same; an event of a type that is not known, so that it is not certain what it means.
    condition("aks-vm-event-other", Class::Candidate, "VMEventScheduled", "True", &[], &OTHER_EVENT),
    // AKS cloud provider: a spot machine is being evicted, noted so that load balancers leave it
    // (cloud-provider-azure, PreemptScheduled).
    taint(
        "aks-spot-eviction",
        Class::ShuttingDown,
        "cloudprovider.azure.microsoft.com/draining",
        Borrowed(&SPOT_EVICTION),
    ),
    // The same, for any other cause.
    taint(
        "aks-draining",
        Class::Draining,
        "cloudprovider.azure.microsoft.com/draining",
        Borrowed(&NO_SPOT_EVICTION),
    ),
    // AKS auto-drain and auto-repair, which take it away again (learn.microsoft.com/azure/aks/node-auto-drain).
    taint("aks-remediator", Class::Draining, "remediator.kubernetes.azure.com/unschedulable", ANY),
    // The same before 2023 (AKS release notes).
    taint("aks-remediator-old", Class::Draining, "remediator.aks.microsoft.com/unschedulable", ANY),
    // maksim-paskal/aks-node-termination-handler, pkg/api: the kind of the scheduled event, in small letters, with its id as
    // value; it drains then.
    taint("aks-nth-preempt", Class::ShuttingDown, "aks-node-termination-handler/preempt", ANY),
    // The same.
    taint("aks-nth-terminate", Class::ShuttingDown, "aks-node-termination-handler/terminate", ANY),
    // The same.
    taint("aks-nth-reboot", Class::ShuttingDown, "aks-node-termination-handler/reboot", ANY),
    // The same.
    taint("aks-nth-redeploy", Class::ShuttingDown, "aks-node-termination-handler/redeploy", ANY),
    // CAST AI (castai/spot-handler, handler; docs.cast.ai, "Autoscaler Node Labels and Taints"), with a taint of the same key and
    // a cordon. The cloud has told that the machine ends.
    label(
        "castai-spot-interruption",
        Class::ShuttingDown,
        "autoscaling.cast.ai/draining",
        &CASTAI_INTERRUPTION,
    ),
    // The same: spot-prediction, spot-fallback, rebalancing or manual.
    label("castai-draining", Class::Draining, "autoscaling.cast.ai/draining", &NO_CASTAI_INTERRUPTION),
    // Medik8s node maintenance, before it drains (medik8s/node-maintenance-operator, controllers/taint.go).
    taint("medik8s-drain", Class::Draining, "medik8s.io/drain", ANY),
    // Medik8s self node remediation and fence agents remediation, before the machine is booted by force.
    evicting("medik8s-remediation", Class::ShuttingDown, "medik8s.io/remediation"),
    // OpenShift, machine config operator, while a drain is wanted and not done; afterwards the two are the same
    // (machine-config-operator/pkg/controller/drain).
    Signal {
        name: Borrowed("openshift-drain"),
        class: Class::Draining,
        matcher: Matcher::Annotation {
            key: Borrowed("machineconfiguration.openshift.io/desiredDrain"),
            value: Borrowed(&WANTED_DRAIN),
        },
    },
    // OpenShift's termination handler with reason TerminationRequested (machine-api-operator/pkg/termination); Gardener's
    // machine controller with ScaleDown or Unhealthy (machine-controller-manager/pkg/util/provider/machineutils).
    condition("machine-terminating", Class::ShuttingDown, "Terminating", "True", &TERMINATING, &[]),
    // Gardener's machine controller, before it deletes the machine: somebody has asked it to by the Node
    // (machine-controller-manager/pkg/util/provider/machineutils).
    Signal {
        name: Borrowed("gardener-deletion"),
        class: Class::ShuttingDown,
        matcher: Matcher::Annotation {
            key: Borrowed("node.machine.sapcloud.io/trigger-deletion-by-mcm"),
            value: Borrowed(&TRUE),
        },
    },
    // Alibaba ACK, node problem detector on preemptible instances, some minutes ahead; reason InstanceToBeTerminated
    // (alibabacloud.com/help/en/container-service-for-kubernetes, "Check whether a preemptible instance is about to expire").
    condition("ack-instance-expired", Class::ShuttingDown, "InstanceExpired", "True", &[], &[]),
    // SageMaker HyperPod on EKS: its health agent has found a fault, and the machine is replaced or booted anew
    // (docs.aws.amazon.com/sagemaker, sagemaker-hyperpod-eks-resiliency-node-recovery).
    label(
        "hyperpod-recovery",
        Class::ShuttingDown,
        "sagemaker.amazonaws.com/node-health-status",
        &HYPERPOD_RECOVERY,
    ),
    // Nebius, ahead of a maintenance for which the machine has to be empty; gone when that is over
    // (nebius/soperator, DefaultMaintenanceConditionType).
    condition("nebius-maintenance", Class::Draining, "NebiusMaintenanceScheduled", "True", &[], &[]),
    // NVIDIA NVSentinel, which drains a machine with a broken GPU; later the value is another one (NVIDIA/NVSentinel,
    // statemanager).
    label("nvsentinel-draining", Class::Draining, "dgxc.nvidia.com/nvsentinel-state", &DRAINING),
    // CoreWeave; known only from the tolerations of its users.
    evicting("coreweave-evict", Class::Draining, "node.coreweave.cloud/evict"),
    // Cluster API, on the old machines of a rollout, which is in no hurry (cluster-api/api, NodeOutdatedRevisionTaint).
    taint("cluster-api-outdated", Class::Candidate, "node.cluster.x-k8s.io/outdated-revision", ANY),
    // draino, which drains at the time that it has set (planetlabs/draino).
    condition("draino", Class::Draining, "DrainScheduled", "True", &[], &[]),
    // Cloud node lifecycle controller, when the machine is off already (k8s.io/cloud-provider/api).
    taint("cloud-shutdown", Class::TooLate, "node.cloudprovider.kubernetes.io/shutdown", ANY),
    // An operator, by hand: the machine is off and its pods may be deleted by force (KEP-2268).
    taint("out-of-service", Class::TooLate, "node.kubernetes.io/out-of-service", ANY),
    // Anybody's taint that evicts pods which do not tolerate it. Whether a pod does, its Pod tells by how it is ended, and pods that
    // do may live there for ever: a hint.
    Signal { name: Borrowed("no-execute-taint"), class: Class::Candidate, matcher: Matcher::NoExecute },
    // kubectl cordon and drain, and all that only cordons before it evicts: EKS managed node groups, kured, Cluster API,
    // DigitalOcean, AWS node termination handler by default (kubectl/pkg/drain).
    Signal { name: Borrowed("cordon"), class: Class::Cordoned, matcher: Matcher::Unschedulable },
];

static KUBELET_NOT_READY: [Test; 1] = [is(&[Borrowed("KubeletNotReady")])];
static SHUTTING_DOWN: [Test; 1] = [contains(&[Borrowed("node is shutting down")])];
static STATUS_UNKNOWN: [Test; 1] = [is(&[Borrowed("NodeStatusUnknown")])];
static DISRUPTING: [Test; 1] = [is(&[Borrowed("disrupting")])];
static ONGOING: [Test; 1] = [is(&[Borrowed("ONGOING")])];
static ADVISORY: [Test; 1] = [starts_with(&[Borrowed("SpotRebalanceRecommendation")])];
static NO_ADVISORY: [Test; 1] = [not(starts_with(&[Borrowed("SpotRebalanceRecommendation")]))];
static FATAL_EVENT: [Test; 2] = [contains(&FATAL), not(starts_with(&[Borrowed("Freeze")]))];
static FREEZE: [Test; 1] = [starts_with(&[Borrowed("Freeze")])];
static OTHER_EVENT: [Test; 2] = [not(contains(&FATAL)), not(starts_with(&[Borrowed("Freeze")]))];
static SPOT_EVICTION: [Test; 1] = [is(&[Borrowed("spot-eviction")])];
static NO_SPOT_EVICTION: [Test; 1] = [not(is(&[Borrowed("spot-eviction")]))];
static CASTAI_INTERRUPTION: [Test; 1] = [is(&[Borrowed("spot-interruption")])];
static NO_CASTAI_INTERRUPTION: [Test; 1] = [not(is(&[Borrowed("spot-interruption")]))];
static TRUE: [Test; 1] = [is(&[Borrowed("true")])];
static HYPERPOD_RECOVERY: [Test; 1] =
    [is(&[Borrowed("UnschedulablePendingReplacement"), Borrowed("UnschedulablePendingReboot")])];
static DRAINING: [Test; 1] = [is(&[Borrowed("draining")])];
static TERMINATING: [Test; 1] =
    [is(&[Borrowed("TerminationRequested"), Borrowed("ScaleDown"), Borrowed("Unhealthy")])];
static WANTED_DRAIN: [Test; 2] = [
    starts_with(&[Borrowed("drain-")]),
    Test {
        by: By::Annotation,
        any: Borrowed(&[Borrowed("machineconfiguration.openshift.io/lastAppliedDrain")]),
        negated: true,
    },
];

const fn taint(name: &'static str, class: Class, key: &'static str, value: Tests) -> Signal {
    Signal {
        name: Borrowed(name),
        class,
        matcher: Matcher::Taint { key: Borrowed(key), value, effect: None },
    }
}

const fn evicting(name: &'static str, class: Class, key: &'static str) -> Signal {
    let effect = Some(Borrowed(NO_EXECUTE));
    Signal { name: Borrowed(name), class, matcher: Matcher::Taint { key: Borrowed(key), value: ANY, effect } }
}

const fn label(name: &'static str, class: Class, key: &'static str, value: &'static [Test]) -> Signal {
    let matcher = Matcher::Label { key: Borrowed(key), value: Borrowed(value) };
    Signal { name: Borrowed(name), class, matcher }
}

const fn condition(
    name: &'static str,
    class: Class,
    kind: &'static str,
    status: &'static str,
    reason: &'static [Test],
    message: &'static [Test],
) -> Signal {
    let (kind, status) = (Borrowed(kind), Borrowed(status));
    let matcher = Matcher::Condition { kind, status, reason: Borrowed(reason), message: Borrowed(message) };
    Signal { name: Borrowed(name), class, matcher }
}

const fn is(any: &'static [Text]) -> Test {
    Test { by: By::Equality, any: Borrowed(any), negated: false }
}

const fn starts_with(any: &'static [Text]) -> Test {
    Test { by: By::Start, any: Borrowed(any), negated: false }
}

const fn contains(any: &'static [Text]) -> Test {
    Test { by: By::Content, any: Borrowed(any), negated: false }
}

const fn not(mut test: Test) -> Test {
    test.negated = !test.negated;
    test
}
