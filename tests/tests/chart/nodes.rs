//! Where the replicas run, and how a new version takes their place.

use anyhow::{Result, ensure};
use crik_tests::chart::template::{of_kind, rendered};
use serde_json::json;

use crate::{ALL, pod_spec};

#[test]
fn spot_nodes_are_avoided_unless_a_value_says_otherwise() -> Result<()> {
    let affinity = |values: &str| -> Result<String> {
        Ok(of_kind(&rendered(values)?, "Deployment")?["spec"]["template"]["spec"]["affinity"].to_string())
    };
    for label in [
        "gke-spot",
        "eks.amazonaws.com/capacityType",
        "karpenter.sh/capacity-type",
        "scalesetpriority",
        "interruptible-instance",
        "oke-is-preemptible",
        "node.alibabacloud.com/spot-strategy",
    ] {
        ensure!(affinity("{}")?.contains(label), "{label}");
    }
    ensure!(affinity(r#"{"avoidSpotNodes": false}"#)?.matches("nodeAffinity").count() == 0);
    ensure!(affinity(ALL)?.matches("spot").count() == 0, "{}", affinity(ALL)?);
    Ok(())
}

#[test]
fn replicas_are_spread_and_a_new_version_takes_no_answer_away() -> Result<()> {
    let objects = rendered("{}")?;
    let (spec, pod) = (&of_kind(&objects, "Deployment")?["spec"], pod_spec(&objects)?);
    let spread = &pod["topologySpreadConstraints"][0];
    ensure!(spread["topologyKey"] == "topology.kubernetes.io/zone" && spread["maxSkew"] == 1, "{spread:#}");
    ensure!(spread["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"], "{spread:#}");
    ensure!(spec["minReadySeconds"] == 15, "{spec:#}");
    ensure!(spec["strategy"]["rollingUpdate"] == json!({"maxSurge": 1, "maxUnavailable": 0}), "{spec:#}");
    let recreated = rendered(r#"{"strategy": {"type": "Recreate"}}"#)?;
    ensure!(of_kind(&recreated, "Deployment")?["spec"]["strategy"] == json!({"type": "Recreate"}));
    Ok(())
}
