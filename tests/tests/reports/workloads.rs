//! What is told of all workloads.

use std::time::Instant;

use anyhow::{Result, ensure};
use crik_api::NodeState;
use crik_api::report::{LAST_CHECKPOINT, LAST_REPORT, LAST_START, Occasion, PROTECTION};
use crik_api::workload::{Workload, WorkloadList};
use crik_tests::control_plane::ControlPlane;
use crik_tests::controller::Controller;
use crik_tests::http::{get, get_as};
use crik_tests::wait::wait_for;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::agent::{checkpointed, examined, labelled};
use crate::{Cluster, PODS, alone, plane};

fn workloads(controller: &Controller, query: &str) -> Result<WorkloadList> {
    let answer = get(&controller.url(&format!("/v1/workloads{query}")))?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    Ok(serde_json::from_str(&answer.body)?)
}

#[test]
fn all_workloads_are_told_with_what_is_known_of_them() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("known")?;
    agent.tells(&cluster.replicas[0], 1, examined(true))?;
    agent.tells(&cluster.replicas[0], 2, checkpointed(7, Occasion::Interval))?;
    let found: Workload = wait_for("the other replica to know", || {
        let all = workloads(&cluster.replicas[1], "?namespace=default").ok()?.workloads;
        all.into_iter().find(|one| one.name == "known" && one.last_checkpoint.is_some())
    })?;
    ensure!(found.node.as_deref() == Some("a") && found.node_state == NodeState::Ready, "{found:?}");
    ensure!(found.protection.as_ref().is_some_and(|told| told.protected), "{found:?}");
    ensure!(found.checkpoint_age_seconds.is_some_and(|age| (0.5..60.0).contains(&age)), "{found:?}");
    ensure!(workloads(&cluster.replicas[1], "?namespace=kube-system")?.workloads.is_empty());
    let guarded = alone(&cluster, &["--workloads", "--auth", "token"])?;
    ensure!(get(&guarded.url("/v1/workloads"))?.status == 401);
    ensure!(get_as(&agent.token, &guarded.url("/v1/workloads"))?.status == 403);
    Ok(())
}

/// How many pods a large cluster may have under crik.
const MANY: usize = 10_000;

#[test]
fn ten_thousand_workloads_are_known_in_little_memory_and_told_at_once_or_in_pages() -> Result<()> {
    let (plane, kubeconfig) = plane()?;
    let (without, began) = (Controller::watching(&kubeconfig, &[])?, Instant::now());
    create_many(&plane)?;
    println!("{MANY} pods were created within {:.1} s", began.elapsed().as_secs_f64());
    let controller = Controller::watching(&kubeconfig, &["--workloads"])?;
    wait_for("all to be known", || (workloads(&controller, "").ok()?.workloads.len() == MANY).then_some(()))?;
    let began = Instant::now();
    let answer = get(&controller.url("/v1/workloads"))?;
    let took = began.elapsed();
    let bytes = |of: &Controller| of.metric("process_resident_memory_bytes");
    let each = (bytes(&controller)? - bytes(&without)?) / MANY as f64;
    println!(
        "{MANY} workloads: {:.1} MiB in {:.0} ms; {each:.0} bytes of memory each",
        answer.body.len() as f64 / 1048576.0,
        took.as_secs_f64() * 1e3
    );
    ensure!(each < 6000.0, "{each} bytes for each pod");
    let (mut seen, mut query) = (Vec::new(), "?limit=3000".to_owned());
    loop {
        let page = workloads(&controller, &query)?;
        ensure!(page.workloads.len() <= 3000);
        seen.extend(page.workloads.into_iter().map(|one| one.name));
        let Some(next) = page.next else { break };
        query = format!("?limit=3000&continue={next}");
    }
    ensure!(seen.len() == MANY && seen.is_sorted(), "{}", seen.len());
    let began = Instant::now();
    let counted = controller.metric("crik_workloads{protection=\"protected\",node_state=\"ready\"}")?;
    println!("a scrape took {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    ensure!((counted - MANY as f64).abs() < 0.5, "{counted}");
    Ok(())
}

/// As the reports of their agents leave them.
fn create_many(plane: &ControlPlane) -> Result<()> {
    let annotations = json!({
        PROTECTION: r#"{"protected":true}"#,
        LAST_REPORT: r#"{"began":1795000000000,"number":9}"#,
        LAST_START: r#"{"at":"2026-11-27T09:12:00.000Z","resumed":{"generation":6,"seconds":1.1,"savedSeconds":3700,"from":"node-b"}}"#,
        LAST_CHECKPOINT: r#"{"at":"2026-11-27T10:00:09.500Z","generation":7,"occasion":"interval","frozenSeconds":0.2,"durableSeconds":1.5,
            "bytes":3000000000,"storedBytes":2000000000,"newBytes":100000000}"#,
    });
    let client = plane.api().client();
    plane.api().block_on(async {
        let create = |number: usize| {
            let (client, mut pod) = (client.clone(), labelled(&format!("many-{number:05}"), &json!({})));
            pod["metadata"]["annotations"] = annotations.clone();
            async move {
                let request = http::Request::post(PODS).header("content-type", "application/json");
                client.request::<Value>(request.body(serde_json::to_vec(&pod)?)?).await?;
                anyhow::Ok(())
            }
        };
        let mut under_way = stream::iter((0..MANY).map(create)).buffer_unordered(64);
        while let Some(done) = under_way.next().await {
            done?;
        }
        Ok(())
    })
}
