//! Whether the pods are let in: by the Pod Security Standards and by OpenShift.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::chart::template::{of_kind, rendered, values};
use crik_tests::control_plane::ControlPlane;
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{ALL, PLANE, apply};

/// All that is said anywhere of whom a pod runs as.
fn identities(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            if ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"]
                .contains(&key.as_str())
            {
                found.push(format!("{key}: {value}"));
            }
            identities(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| identities(item, found)),
        _ => {}
    }
}

/// OpenShift's restricted-v2 gives each namespace users of its own, and refuses a pod that names another one.
#[test]
fn nobody_says_whom_the_pods_run_as_unless_a_value_does() -> Result<()> {
    for (values, expected) in [("{}", 0), (ALL, 0), (r#"{"podSecurityContext": {"runAsUser": 1}}"#, 2)] {
        let mut found = Vec::new();
        rendered(values)?.iter().for_each(|object| identities(object, &mut found));
        ensure!(found.len() == expected, "{values}: {found:?}");
    }
    // So the image has to, and by a number, or `runAsNonRoot` cannot be kept.
    let image = fs::read_to_string(workspace().join("deploy/Dockerfile.controller"))?;
    ensure!(image.lines().any(|line| line == "USER 65532:65532"), "{image}");
    Ok(())
}

#[test]
fn its_pods_meet_the_restricted_standard() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    for (namespace, json) in [("strict", "{}"), ("strict-all", ALL)] {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        plane
            .api()
            .create_all(&[json!({"kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})])?;
        drop(apply(&plane, namespace, json)?);
        let objects = rendered(json)?;
        let template = &of_kind(&objects, "Deployment")?["spec"]["template"];
        let test = of_kind(&objects, "Pod")?;
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        for (name, metadata, spec) in [
            ("replica", &template["metadata"], &template["spec"]),
            ("test", &test["metadata"], &test["spec"]),
        ] {
            let metadata = json!({"name": name, "labels": metadata["labels"]});
            let mut spec = spec.clone();
            if name == "test" {
                // There is nobody here who makes the namespace's own.
                spec["serviceAccountName"] = json!("crik-controller");
            }
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
            drop(plane.api().create(&path, &pod).with_context(|| format!("{namespace} {name}"))?);
        }
        // And the standard is enforced here.
        let lax = json!({"kind": "Pod", "metadata": {"name": "lax"}, "spec": {
            "serviceAccountName": "crik-controller", "containers": [{"name": "a", "image": "a"}]}});
        let refused = plane.api().create(&path, &lax).err().context("the standard is not enforced")?;
        ensure!(format!("{refused:#}").contains("violates PodSecurity"), "{refused:#}");
    }
    Ok(())
}

/// What OpenShift's SCC restricted-v2 refuses, where its range for a namespace begins at 1000660000: of its MustRunAsRange, of
/// capabilities, of the seccomp profile and of volumes (openshift/apiserver-library-go, pkg/securitycontextconstraints).
const RESTRICTED_V2: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: restricted-v2}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
  variables:
  - {name: pod, expression: "has(object.spec.securityContext) ? [object.spec.securityContext] : []"}
  - {name: all, expression: "object.spec.containers + object.spec.?initContainers.orValue([])"}
  - {name: contexts, expression: "variables.all.filter(c, has(c.securityContext)).map(c, c.securityContext)"}
  validations:
  - expression: "variables.pod.all(c, !has(c.runAsUser) || c.runAsUser >= 1000660000 && c.runAsUser < 1000670000)"
    message: "runAsUser: must be in the ranges: [1000660000, 1000669999]"
  - expression: "variables.contexts.all(c, !has(c.runAsUser) || c.runAsUser >= 1000660000 && c.runAsUser < 1000670000)"
    message: "containers runAsUser: must be in the ranges: [1000660000, 1000669999]"
  - expression: "variables.pod.all(c, !has(c.fsGroup) || c.fsGroup >= 1000660000 && c.fsGroup < 1000670000)"
    message: "fsGroup: must be in the ranges: [1000660000, 1000669999]"
  - expression: "variables.all.all(c, has(c.securityContext) && has(c.securityContext.capabilities) && c.securityContext.capabilities.?drop.orValue([]).exists(d, d == 'ALL') && c.securityContext.capabilities.?add.orValue([]).all(a, a == 'NET_BIND_SERVICE'))"
    message: "capabilities: all must be dropped"
  - expression: "variables.contexts.all(c, !c.?allowPrivilegeEscalation.orValue(true) && !c.?privileged.orValue(false))"
    message: "allowPrivilegeEscalation: must be false"
  - expression: "!object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false) && !object.spec.?hostIPC.orValue(false)"
    message: "host: not allowed"
  - expression: "object.spec.?volumes.orValue([]).all(v, has(v.configMap) || has(v.csi) || has(v.downwardAPI) || has(v.emptyDir) || has(v.ephemeral) || has(v.persistentVolumeClaim) || has(v.projected) || has(v.secret))"
    message: "volumes: of another kind"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: restricted-v2}
spec:
  policyName: restricted-v2
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {scc: restricted-v2}}}
"#;

#[test]
fn its_pods_are_what_openshift_lets_in_where_each_namespace_has_users_of_its_own() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let policy = values(RESTRICTED_V2)?;
    drop(plane.kubectl(&["apply", "--filename", &policy.path().display().to_string()])?);
    let namespace =
        json!({"kind": "Namespace", "metadata": {"name": "openshift", "labels": {"scc": "restricted-v2"}}});
    plane.api().create_all(&[namespace])?;
    let path = "/api/v1/namespaces/openshift/pods?dryRun=All";
    let create = |json: &str, kind: &str| -> Result<String> {
        let objects = rendered(json)?;
        let object = of_kind(&objects, kind)?;
        let pod = if kind == "Pod" { object } else { &object["spec"]["template"] };
        let mut spec = pod["spec"].clone();
        spec["serviceAccountName"] = json!("crik-controller");
        let pod = json!({"kind": "Pod", "metadata": {"name": "pod"}, "spec": spec});
        Ok(plane.api().create(path, &pod).err().map(|why| format!("{why:#}")).unwrap_or_default())
    };
    drop(apply(&plane, "openshift", "{}")?);
    let named = r#"{"podSecurityContext": {"runAsUser": 65532}}"#;
    // The API server learns of a policy a moment after it was made.
    wait_for("the policy to be enforced", || {
        create(named, "Deployment").ok()?.contains("must be in the ranges").then_some(())
    })?;
    for json in ["{}", ALL] {
        for kind in ["Deployment", "Pod"] {
            let refused = create(json, kind)?;
            ensure!(refused.is_empty(), "{kind} {json}: {refused}");
        }
    }
    Ok(())
}
