//! A report is taken once, whoever dies or is away meanwhile.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use crik_api::report::{LAST_REPORT, Occasion, What};
use crik_tests::control_plane::Account;
use crik_tests::controller::Controller;
use crik_tests::http::post_as;
use crik_tests::wait::wait_for;
use serde_json::json;

use crate::agent::{Agent, examined, failed, text};
use crate::{Cluster, alone, plane};

#[test]
fn a_report_is_taken_once_however_often_and_to_whichever_replica_it_comes() -> Result<()> {
    let cluster = Cluster::shared()?;
    let (mut one, other) = (alone(&cluster, &["--workloads"])?, alone(&cluster, &[])?);
    let agent = cluster.agent("often")?;
    agent.tells(&one, 1, What::StartedFresh { why: None })?;
    let before = agent.object()?["metadata"]["resourceVersion"].clone();
    agent.tells(&one, 1, What::StartedFresh { why: None })?;
    agent.tells(&other, 1, What::StartedFresh { why: None })?;
    ensure!(agent.object()?["metadata"]["resourceVersion"] == before, "a repeat has changed the pod");
    // The next one, at both in the same moment.
    let teller = &agent;
    thread::scope(|scope| {
        let tell = |at| scope.spawn(move || teller.tells(at, 2, failed(Occasion::Stop)));
        let sent = [&one, &other, &one, &other].map(tell);
        sent.into_iter().try_for_each(|sent| sent.join().map_err(|_| anyhow!("a sender panicked"))?)
    })?;
    let counted = |at: &Controller| at.metric("crik_checkpoints_total{occasion=\"stop\",outcome=\"failed\"}");
    ensure!(
        (counted(&one)? + counted(&other)? - 1.0).abs() < 1e-6,
        "{:?} {:?}",
        counted(&one),
        counted(&other)
    );
    one.restart()?;
    agent.tells(&one, 2, failed(Occasion::Stop))?;
    agent.tells(&one, 1, What::StartedFresh { why: None })?;
    ensure!(counted(&one)? < 0.5, "a repeat is counted after a restart");
    ensure!(agent.says(LAST_REPORT)?["number"] == 2);
    agent.has_events(&[("StartedFresh", "Normal"), ("NotCheckpointed", "Warning")])
}

#[test]
fn while_the_api_server_is_away_reports_are_to_come_again_and_then_they_are_taken() -> Result<()> {
    let (mut plane, kubeconfig) = plane()?;
    let controller = Controller::watching(&kubeconfig, &["--reports", "--workloads"])?;
    let token = {
        let agent = Agent::of(&plane, "patient", &json!({}))?;
        agent.tells(&controller, 1, examined(true))?;
        agent.token
    };
    plane.kill_server();
    let url = controller.url("/v1/pods/default/patient/reports");
    let answer = post_as(&token, &url, &text(2, failed(Occasion::Stop)))?;
    ensure!(answer.status == 503 && answer.tells_to_wait(), "{} {}", answer.status, answer.body);
    ensure!(answer.json()["code"] == "api-server-unavailable", "{}", answer.body);
    plane.restart_server()?;
    let agent = Agent { plane: &plane, pod: "patient".to_owned(), token };
    wait_for("the report to be taken", || {
        (agent.send(&controller, 2, failed(Occasion::Stop)).ok()?.status == 204).then_some(())
    })?;
    agent.has_events(&[("NotCheckpointed", "Warning")])?;
    controller.logs("reports can be taken again")?;
    ensure!((controller.metric("crik_reports_total{result=\"taken\"}")? - 2.0).abs() < 1e-6);
    Ok(())
}

#[test]
fn a_controller_that_dies_between_the_event_and_the_pod_leaves_one_event_in_the_end() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("torn")?;
    let torn = without_patches(&cluster)?;
    let answer = agent.send(&torn, 1, failed(Occasion::Stop))?;
    ensure!(answer.status == 403 && answer.body.contains("pods/status"), "{} {}", answer.status, answer.body);
    agent.has_events(&[("NotCheckpointed", "Warning")])?;
    ensure!(agent.says(LAST_REPORT)?.is_null(), "nothing is torn");
    drop(torn);
    let controller = alone(&cluster, &[])?;
    agent.tells(&controller, 1, failed(Occasion::Stop))?;
    ensure!(agent.says(LAST_REPORT)?["number"] == 1);
    agent.has_events(&[("NotCheckpointed", "Warning")])?;
    let counted = controller.metric("crik_checkpoints_total{occasion=\"stop\",outcome=\"failed\"}")?;
    ensure!((counted - 1.0).abs() < 1e-6, "{counted}");
    Ok(())
}

/// One that may do all but write on pods.
fn without_patches(cluster: &Cluster) -> Result<Controller> {
    let plane = &cluster.plane;
    let rules = json!([
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    ]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "torn"});
    let subject = json!({"kind": "ServiceAccount", "namespace": "crik", "name": "torn"});
    plane.api().create_all(&[
        json!({"kind": "ServiceAccount", "metadata": {"name": "torn", "namespace": "crik"}}),
        json!({"kind": "ClusterRole", "metadata": {"name": "torn"}, "rules": rules}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "torn"}, "roleRef": role, "subjects": [subject]}),
    ])?;
    Controller::watching(&plane.kubeconfig_of(Account { namespace: "crik", name: "torn" })?, &["--reports"])
}

#[test]
fn a_controller_that_is_killed_at_any_moment_takes_each_report_once() -> Result<()> {
    let cluster = Cluster::shared()?;
    let mut controller = alone(&cluster, &[])?;
    let agent = cluster.agent("killed")?;
    for round in 1..=5 {
        let url = agent.url(&controller);
        thread::scope(|scope| {
            let sent = scope.spawn(|| post_as(&agent.token, &url, &text(round, failed(Occasion::Stop))));
            // Later each time: before the Event, between it and the pod, and after both.
            thread::sleep(Duration::from_millis(4 * round));
            controller.restart()?;
            drop(sent.join());
            anyhow::Ok(())
        })?;
        agent.tells(&controller, round, failed(Occasion::Stop))?;
    }
    ensure!(agent.says(LAST_REPORT)?["number"] == 5);
    agent.has_events(&[("NotCheckpointed", "Warning"); 5])
}
