//! The chart's dashboard and alerts, by a real Prometheus that reads a real controller.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use crik_api::report::{Occasion, What};
use crik_tests::chart::template::{chart, of_kind, rendered};
use crik_tests::control_plane::{PatchKind, Port};
use crik_tests::controller::Controller;
use crik_tests::tools::prometheus;
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::agent::{checkpointed, examined, resumed};
use crate::{Cluster, PODS, alone};

/// With all alerts.
const VALUES: &str = r#"{
    "inject": {"enabled": true, "agentImage": "a:1"}, "serviceMonitor": {"enabled": true}, "grafanaDashboard": {"enabled": true},
    "prometheusRule": {"enabled": true, "maxCheckpointAgeSeconds": 1}
}"#;

/// A Prometheus that reads a controller every second, ended when this is dropped.
struct Prometheus {
    child: Child,
    port: Port,
    directory: tempfile::TempDir,
}

impl Prometheus {
    fn of(controller: &Controller, rules: &Value) -> Result<Self> {
        let (directory, port) = (tempfile::tempdir()?, Port::take()?);
        let file = |name: &str| directory.path().join(name);
        fs::write(file("rules.yaml"), serde_json::to_string(&json!({"groups": rules}))?)?;
        check(&file("rules.yaml"))?;
        let target =
            json!({"targets": [format!("127.0.0.1:{}", controller.port())], "labels": {"namespace": "crik"}});
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [file("rules.yaml")],
            "scrape_configs": [{"job_name": "crik-controller", "static_configs": [target]}],
        });
        fs::write(file("prometheus.yaml"), serde_json::to_string(&config)?)?;
        let flag = |name: &str, value: &str| format!("--{name}={value}");
        let child = Command::new(prometheus()?.join("prometheus"))
            .arg(flag("config.file", &file("prometheus.yaml").display().to_string()))
            .arg(flag("storage.tsdb.path", &file("data").display().to_string()))
            .arg(flag("web.listen-address", &format!("127.0.0.1:{}", port.number())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(file("log"))?)
            .spawn()?;
        Ok(Self { child, port, directory })
    }

    /// What it answers at a path, once it serves.
    fn get(&self, path: &str) -> Result<Value> {
        let answer = crik_tests::http::get(&format!("http://127.0.0.1:{}{path}", self.port.number()))?;
        let all = answer.json();
        ensure!(all["status"] == "success", "{path}: {} {}", answer.status, answer.body);
        Ok(all["data"].clone())
    }

    /// How many series a query gives with a number.
    fn series(&self, query: &str) -> Result<usize> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = self.get(&format!("/api/v1/query?query={encoded}"))?["result"].clone();
        let is_number = |one: &&Value| one["value"][1].as_str().is_some_and(|text| text != "NaN");
        Ok(found.as_array().context("no series")?.iter().filter(is_number).count())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// By `promtool`, as whoever changes rules does.
fn check(rules: &Path) -> Result<()> {
    let output = Command::new(prometheus()?.join("promtool")).args(["check", "rules"]).arg(rules).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Each panel's title and queries, with what Grafana would put in for its variables.
fn panels(objects: &[Value]) -> Result<Vec<(String, Vec<String>)>> {
    let is_it = |object: &&Value| object["data"]["crik.json"].is_string();
    let map = objects.iter().find(is_it).context("no dashboard")?;
    ensure!(map["metadata"]["labels"]["grafana_dashboard"] == "1", "the sidecar does not find it");
    let dashboard: Value = serde_json::from_str(map["data"]["crik.json"].as_str().unwrap_or_default())?;
    let query = |target: &Value| {
        let expression = target["expr"].as_str().unwrap_or_default();
        [("$job", ".+"), ("$__range", "5m"), ("$__rate_interval", "10s")]
            .iter()
            .fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value))
    };
    let panel = |panel: &Value| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        (panel["title"].as_str().unwrap_or_default().to_owned(), targets.map(query).collect())
    };
    Ok(dashboard["panels"].as_array().context("no panels")?.iter().map(panel).collect())
}

#[test]
fn each_panel_shows_something_and_each_alert_can_be_evaluated() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = alone(&cluster, &["--workloads"])?;
    let objects = rendered(VALUES)?;
    let rules = &of_kind(&objects, "PrometheusRule")?["spec"]["groups"];
    let prometheus = Prometheus::of(&controller, rules)?;
    wait_for("the first scrape", || prometheus.series("crik_build_info").ok().filter(|series| *series == 1))
        .with_context(|| prometheus.log())?;
    let agent = cluster.agent("watched")?;
    let running = json!({"status": {"phase": "Running"}});
    let path = format!("{PODS}/watched/status");
    drop(cluster.plane.api().patch(&path, PatchKind::Merge, &running)?);
    let mut number = 0;
    let mut tell = |what: What| {
        number += 1;
        agent.tells(&controller, number, what)
    };
    tell(examined(false))?;
    tell(What::StartedFresh { why: Some("all were damaged".to_owned()) })?;
    let panels = panels(&objects)?;
    ensure!(panels.len() > 10, "{panels:?}");
    for (title, queries) in &panels {
        for query in queries {
            // What is shown of the last seconds needs something that happens in them.
            wait_for(&format!("{title}: {query}"), || {
                let shown = prometheus.series(query).ok().filter(|series| *series > 0);
                if shown.is_none() {
                    tell(checkpointed(7, Occasion::Stop)).and_then(|()| tell(resumed())).ok()?;
                }
                shown
            })
            .with_context(|| prometheus.log())?;
        }
    }
    // Grafana looks for these.
    let text = fs::read_to_string(format!("{}/dashboards/crik.json", chart()))?;
    for part in ["\"schemaVersion\"", "\"uid\": \"crik\"", "\"templating\""] {
        ensure!(text.contains(part), "{part}");
    }
    for alert in ["CrikWorkLost", "CrikCheckpointTooOld"] {
        let query = format!("ALERTS{{alertname=\"{alert}\"}}");
        wait_for(alert, || prometheus.series(&query).ok().filter(|series| *series > 0))?;
    }
    let groups = prometheus.get("/api/v1/rules")?["groups"].clone();
    let rules = groups[0]["rules"].as_array().context("no rules")?;
    ensure!(rules.iter().all(|rule| rule["health"] == "ok"), "{rules:#?}");
    println!("{} panels and {} alerts", panels.len(), rules.len());
    Ok(())
}
