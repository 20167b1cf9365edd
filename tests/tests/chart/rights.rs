//! What the controller may do in a cluster, and that it is enough.

use anyhow::{Context as _, Result, ensure};
use crik_tests::control_plane::{Account, ControlPlane, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::wait::wait_for;

use crate::{PLANE, apply};

/// What the controller's ServiceAccount may do in `default`, beyond what everybody may.
fn rights(plane: &ControlPlane, namespace: &str) -> Result<Vec<String>> {
    let account = format!("system:serviceaccount:{namespace}:crik-controller");
    let list = plane.kubectl(&["auth", "can-i", "--list", "--namespace", "default", "--as", &account])?;
    let everybodys = |line: &str| line.starts_with("selfsubject") || line.trim_start().starts_with('[');
    let rows = list.lines().skip(1).filter(|line| !everybodys(line));
    let mut rows: Vec<String> =
        rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    rows.sort();
    Ok(rows)
}

#[test]
fn it_may_do_what_it_needs_and_nothing_else() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let (nodes, events) = ("nodes [] [] [list watch]", "events [] [] [create patch]");
    let (pods, reviews) = ("pods [] [] [get]", "tokenreviews.authentication.k8s.io [] [] [create]");
    let webhook = "mutatingwebhookconfigurations.admissionregistration.k8s.io [] [rights-asked-crik-controller] [get patch]";
    let unheld = "mutatingwebhookconfigurations.admissionregistration.k8s.io [] [rights-unheld-crik-controller] [get patch]";
    let validating = "validatingwebhookconfigurations.admissionregistration.k8s.io [] [rights-asked-crik-controller] [get patch]";
    let (watched, status) = ("pods [] [] [get list watch]", "pods/status [] [] [patch]");
    let budgets = "poddisruptionbudgets.policy [] [] [list]";
    let (namespaces, claims) = ("namespaces [] [] [get]", "persistentvolumeclaims [] [] [get]");
    let asked_more = "mutatingwebhookconfigurations.admissionregistration.k8s.io [] [rights-secrets-crik-controller] [get patch]";
    for (namespace, json, expected) in [
        ("rights", "{}", vec![events, nodes, pods]),
        ("rights-few", r#"{"events": {"enabled": false}, "pods": {"enabled": false}}"#, vec![nodes]),
        ("rights-all", r#"{"auth": {"enabled": true}}"#, vec![events, nodes, pods, reviews]),
        (
            "rights-asked",
            r#"{"inject": {"enabled": true, "agentImage": "a:1"}}"#,
            vec![events, webhook, namespaces, nodes, claims, budgets, watched, status, reviews, validating],
        ),
        (
            "rights-unheld",
            r#"{"inject": {"enabled": true, "agentImage": "a:1", "reports": false, "moves": {"enabled": false}}}"#,
            vec![events, unheld, namespaces, nodes, claims, pods],
        ),
        (
            "rights-secrets",
            r#"{"inject": {"enabled": true, "agentImage": "a:1", "pullSecrets": true, "reports": false, "moves": {"enabled": false}}}"#,
            vec![events, asked_more, namespaces, nodes, claims, pods, "secrets [] [] [get]"],
        ),
    ] {
        drop(apply(&plane, namespace, json)?);
        let rights = rights(&plane, namespace)?;
        ensure!(rights == expected, "{namespace}: {rights:#?}");
    }
    Ok(())
}

#[test]
fn what_it_may_do_is_enough_for_the_controller() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    drop(apply(&plane, "enough", r#"{"auth": {"enabled": true}}"#)?);
    drop(plane.create_node(&TestNode::ready("enough-a"))?);
    let account = Account { namespace: "enough", name: "crik-controller" };
    let controller = Controller::watching(&plane.kubeconfig_of(account)?, &["--auth", "token"])?;
    // A token that is of no pod; without the right to ask about it there would be 503.
    let token = plane.token(account, TokenRequest { audience: "crik", ..TokenRequest::default() })?;
    let answer = crik_tests::http::get_as(&token, &controller.url("/v1/nodes/enough-a"))?;
    ensure!(answer.status == 403, "{} {}", answer.status, answer.body);
    let open = Controller::watching(&plane.kubeconfig_of(account)?, &[])?;
    let answer = crik_tests::http::get(&open.url("/v1/pods/enough/none"))?;
    ensure!(answer.status == 404 && answer.body.contains("there is no pod"), "{}", answer.body);
    drop(plane.shut_down("enough-a")?);
    let written = || {
        plane.kubectl(&[
            "get",
            "events",
            "--namespace",
            "default",
            "--output",
            "jsonpath={.items[*].involvedObject.name}",
        ])
    };
    wait_for("an Event on the Node", || {
        written().is_ok_and(|names| names.contains("enough-a")).then_some(())
    })
    .with_context(|| controller.log())?;
    ensure!(!controller.log().contains("forbidden"), "{}", controller.log());
    Ok(())
}
