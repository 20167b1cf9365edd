//! What of a report is found afterwards, and where.

use anyhow::{Result, ensure};
use crik_api::report::{
    LAST_CHECKPOINT, LAST_FAILURE, LAST_REPORT, LAST_START, MOVE, Occasion, PROTECTION, RESTORED, What,
};
use crik_tests::control_plane::PatchKind;
use serde_json::{Value, json};

use crate::agent::{Agent, checkpointed, examined, failed, resumed};
use crate::{Cluster, PODS, alone};

#[test]
fn each_kind_of_report_stands_on_the_pod_is_told_and_is_counted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = alone(&cluster, &["--workloads"])?;
    let agent = cluster.agent("kinds")?;
    let asked = "2026-01-02T03:04:05.006Z";
    agent.annotate(MOVE, &json!({"asked": asked, "step": "asked", "at": asked}).to_string())?;
    agent.tells(&controller, 1, examined(false))?;
    ensure!(agent.says(PROTECTION)? == json!({"protected": false, "why": "no volume"}));
    agent.tells(&controller, 2, What::StartedFresh { why: Some("all were damaged".to_owned()) })?;
    ensure!(agent.says(LAST_START)?["whyFresh"] == "all were damaged");
    agent.tells(&controller, 3, examined(true))?;
    agent.tells(&controller, 4, failed(Occasion::Interval))?;
    agent.tells(&controller, 5, failed(Occasion::Interval))?;
    ensure!(agent.says(LAST_FAILURE)?["why"] == "the volume is full");
    agent.tells(&controller, 6, checkpointed(7, Occasion::Interval))?;
    ensure!(agent.says(LAST_CHECKPOINT)?["generation"] == 7 && agent.says(LAST_FAILURE)?.is_null());
    agent.tells(&controller, 7, What::MoveBegun { asked: asked.to_owned() })?;
    ensure!(agent.says(MOVE)?["step"] == "begun");
    agent.tells(&controller, 8, checkpointed(8, Occasion::Move))?;
    ensure!(agent.says(MOVE)?["step"] == "durable");
    agent.tells(&controller, 9, What::Stayed)?;
    ensure!(agent.says(MOVE)?["step"] == "stayed");
    agent.tells(&controller, 10, What::ToldToStop { why: "the pod was deleted".to_owned() })?;
    agent.tells(&controller, 11, resumed())?;
    ensure!(agent.says(LAST_START)?["resumed"]["skipped"][0]["why"] == "another kernel");
    ensure!(agent.says(LAST_REPORT)?["number"] == 11);
    agent.has_events(&[
        ("NotProtected", "Warning"),
        ("StartedFresh", "Warning"),
        ("Protected", "Normal"),
        ("NotCheckpointed", "Warning"),
        ("Checkpointed", "Normal"),
        ("Stayed", "Normal"),
        ("ToldToStop", "Normal"),
        ("Resumed", "Normal"),
    ])?;
    let described = cluster.plane.kubectl(&["describe", "pod", "kinds"])?;
    ensure!(
        described.contains("goes on from checkpoint 7") && described.contains("crik-controller"),
        "{described}"
    );
    for (name, value) in [
        ("crik_reports_total{result=\"taken\"}", 11.0),
        ("crik_pod_events_total{result=\"written\"}", 8.0),
        ("crik_checkpoints_total{occasion=\"interval\",outcome=\"durable\"}", 1.0),
        ("crik_checkpoints_total{occasion=\"interval\",outcome=\"failed\"}", 2.0),
        ("crik_checkpoints_total{occasion=\"move\",outcome=\"durable\"}", 1.0),
        ("crik_checkpoints_total{occasion=\"stop\",outcome=\"unwanted\"}", 1.0),
        ("crik_starts_total{how=\"resumed\"}", 1.0),
        ("crik_starts_total{how=\"fresh\"}", 0.0),
        ("crik_starts_total{how=\"fresh-after-skipped\"}", 1.0),
        ("crik_checkpoint_frozen_seconds_count", 2.0),
        ("crik_checkpoint_durable_seconds_sum", 3.0),
        ("crik_resume_seconds_sum", 2.0),
        ("crik_checkpoint_bytes_total", 6000.0),
        ("crik_checkpoint_stored_bytes_total", 4000.0),
        ("crik_checkpoint_new_bytes_total", 2000.0),
        ("crik_saved_seconds_total", 3600.0),
    ] {
        let found = controller.metric(name)?;
        ensure!((found - value).abs() < 1e-6, "{name} is {found}");
    }
    Ok(())
}

#[test]
fn a_pod_that_names_the_gate_is_ready_once_its_program_runs() -> Result<()> {
    let cluster = Cluster::shared()?;
    let gate = json!({"readinessGates": [{"conditionType": RESTORED}]});
    let agent = Agent::of(&cluster.plane, "gated", &gate)?;
    // As the kubelet writes its own.
    let path = format!("{PODS}/gated/status");
    let own = json!({"status": {"conditions": [{"type": "ContainersReady", "status": "True"}]}});
    drop(cluster.plane.api().patch(&path, PatchKind::Strategic, &own)?);
    let condition = |kind: &str| -> Result<Value> {
        let all = agent.object()?["status"]["conditions"].clone();
        Ok(all.as_array().into_iter().flatten().find(|one| one["type"] == kind).cloned().unwrap_or_default())
    };
    let replica = &cluster.replicas[0];
    agent.tells(replica, 1, examined(true))?;
    ensure!(condition(RESTORED)?["status"] == "False");
    agent.tells(replica, 2, resumed())?;
    let first = condition(RESTORED)?;
    ensure!(first["status"] == "True" && first["reason"] == "Resumed", "{first}");
    agent.tells(replica, 3, checkpointed(9, Occasion::Asked))?;
    ensure!(condition(RESTORED)? == first && condition("ContainersReady")?["status"] == "True");
    // The container is restarted, and with it the agent.
    let again = r#"{"id":{"began":1795000009999,"number":1},"what":"examined","protected":true}"#;
    ensure!(agent.post(replica, again)?.status == 204);
    ensure!(condition(RESTORED)?["reason"] == "Starting" && condition(RESTORED)?["status"] == "False");
    Ok(())
}

#[test]
fn a_pod_without_the_label_reports_too() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("by-hand")?;
    let unlabel = json!({"metadata": {"labels": {"crik.dev/inject": null}}});
    drop(cluster.plane.api().patch(&format!("{PODS}/by-hand"), PatchKind::Merge, &unlabel)?);
    for number in 1..=2 {
        agent.tells(&cluster.replicas[1], number, examined(number == 2))?;
    }
    ensure!(agent.says(PROTECTION)?["protected"] == true);
    agent.has_events(&[("NotProtected", "Warning"), ("Protected", "Normal")])
}
