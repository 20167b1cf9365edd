//! How long the API server takes to create a pod, and how long of that it waits for the webhook, while it creates many.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crik_tests::chart::release::{Release, pod};
use crik_tests::fleet::changes::percentile;
use crik_tests::registry::Registry;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How many pods are created a second.
const RATE: u32 = 50;
/// How many in all, for each row.
const PODS: usize = 1_000;

fn main() -> Result<()> {
    let registry = Registry::start()?;
    let known = json!({"registries": [{"host": registry.host(), "plainHttp": true}]});
    let release = Release::with("bench", &known)?;
    let _controller = release.controller(&[])?;
    let image = registry.push("app:1", &json!({"Entrypoint": ["/entry"]}))?;
    let bare = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
    let left = json!({"metadata": {"labels": {"crik.dev/inject": "false"}}});
    println!("{PODS} pods, {RATE} a second, each as a dry run at a real kube-apiserver, which asks over TLS");
    println!("{:<42} {:>9} {:>9} {:>9}", "", "p50", "p99", "most");
    for (what, change) in [
        ("not labelled, nobody is asked", &left),
        ("labelled", &json!({})),
        ("labelled, of an image that is looked up", &bare),
    ] {
        let times = created(&release, &pod("bench", change))?;
        let most = times.iter().copied().fold(0.0, f64::max);
        println!(
            "{what:<42} {:>6.1} ms {:>6.1} ms {most:>6.1} ms",
            percentile(&times, 50),
            percentile(&times, 99)
        );
    }
    println!("the API server waited for the webhook, of so many pods up to so long:");
    waits(&release)
}

/// How long each pod took, in milliseconds.
fn created(release: &Release, pod: &Value) -> Result<Vec<f64>> {
    let (client, path) = (release.plane.api().client(), format!("{}?dryRun=All", release.pods()));
    let body = serde_json::to_vec(pod)?;
    release.plane.api().block_on(async {
        let (mut ticks, mut all) = (interval(Duration::from_secs(1) / RATE), JoinSet::new());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..PODS {
            // One that is late counts from when it was due.
            let due = ticks.tick().await;
            all.spawn(create(client.clone(), path.clone(), body.clone(), due.into_std()));
        }
        all.join_all().await.into_iter().collect()
    })
}

async fn create(client: Client, path: String, body: Vec<u8>, due: Instant) -> Result<f64> {
    let request = http::Request::post(path).header("content-type", "application/json").body(body)?;
    client.request_text(request).await?;
    Ok(due.elapsed().as_secs_f64() * 1e3)
}

/// As the API server counts it itself.
fn waits(release: &Release) -> Result<()> {
    let metrics = release.plane.api().text("/metrics")?;
    let of_ours = metrics.lines().filter(|line| {
        line.starts_with("apiserver_admission_webhook_admission_duration_seconds_bucket")
            && line.contains("name=\"inject.crik.dev\"")
    });
    for line in of_ours {
        let up_to =
            line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next()).context("no bucket")?;
        let pods = line.rsplit(' ').next().context("no number")?;
        println!("{:>10} s {pods:>8}", up_to);
    }
    Ok(())
}
