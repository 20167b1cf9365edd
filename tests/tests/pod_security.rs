//! Which namespaces take a pod that runs under crik: what the README's table of demands says of Pod Security, asked of Kubernetes' own
//! admission.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::control_plane::ControlPlane;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// A pod as the first workload of this example makes it.
fn pod(example: &str) -> Result<Value> {
    let text = fs::read_to_string(workspace().join(format!("deploy/examples/{example}/{example}.yaml")))?;
    let objects = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let objects: Vec<Value> = objects.collect::<Result<_, _>>()?;
    let template = objects.iter().map(|object| &object["spec"]["template"]).find(|one| one.is_object());
    let spec = template.context("no template")?["spec"].clone();
    Ok(json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": example}, "spec": spec}))
}

/// A namespace that enforces this standard, named after it.
fn enforcing(plane: &ControlPlane, standard: &str) -> Result<()> {
    let labels = json!({"pod-security.kubernetes.io/enforce": standard});
    plane.api().create_all(&[
        json!({"kind": "Namespace", "metadata": {"name": standard, "labels": labels}}),
        // Which a controller makes in a whole cluster, and no pod is without.
        json!({"kind": "ServiceAccount", "metadata": {"name": "default", "namespace": standard}}),
    ])
}

#[test]
fn a_namespace_that_enforces_privileged_takes_every_example_and_one_with_baseline_or_restricted_says_why_not()
-> Result<()> {
    let plane = ControlPlane::start()?;
    ["privileged", "baseline", "restricted"].iter().try_for_each(|standard| enforcing(&plane, standard))?;
    for example in ["counter", "ordinary-user", "batch", "redis", "training"] {
        let pod = pod(example)?;
        let asked =
            |standard| plane.api().create(&format!("/api/v1/namespaces/{standard}/pods?dryRun=All"), &pod);
        asked("privileged").context(example)?;
        for standard in ["baseline", "restricted"] {
            let refused = format!("{:#}", asked(standard).err().context("it is taken")?);
            for part in [
                &*format!("violates PodSecurity \"{standard}:"),
                "\"CHECKPOINT_RESTORE\"",
                "\"SYS_PTRACE\"",
                "\"Unconfined\"",
            ] {
                ensure!(refused.contains(part), "{example}: {part} is not in\n{refused}");
            }
        }
    }
    Ok(())
}
