//! What Prometheus is told to read, and to warn of.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chart::template::{of_kind, rendered};
use crik_tests::controller::{Controller, TestNode};

#[test]
fn a_service_monitor_is_made_when_it_is_wanted() -> Result<()> {
    let objects = rendered(
        r#"{"serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}}, "tls": {"secretName": "t"}}"#,
    )?;
    let monitor = of_kind(&objects, "ServiceMonitor")?;
    ensure!(monitor["metadata"]["labels"]["release"] == "prometheus");
    ensure!(monitor["spec"]["endpoints"][0]["scheme"] == "https");
    let service = of_kind(&objects, "Service")?;
    ensure!(service["spec"]["clusterIP"] == "None", "agents must see every replica's address");
    ensure!(monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]);
    ensure!(!rendered("{}")?.iter().any(|object| object["kind"] == "ServiceMonitor"));
    Ok(())
}

#[test]
fn alerts_are_of_metrics_that_there_are() -> Result<()> {
    let objects = rendered(r#"{"prometheusRule": {"enabled": true}, "serviceMonitor": {"enabled": true}}"#)?;
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let metrics = crik_tests::http::get(&controller.url("/metrics"))?.body;
    let rules = &of_kind(&objects, "PrometheusRule")?["spec"]["groups"][0]["rules"];
    for rule in rules.as_array().context("no rules")? {
        let expression = rule["expr"].as_str().context("no expression")?;
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names: Vec<&str> = words.filter(|word| word.starts_with("crik_")).collect();
        ensure!(!names.is_empty(), "{expression}");
        for name in names {
            ensure!(
                metrics
                    .lines()
                    .any(|line| line.starts_with(&format!("{name}{{"))
                        || line.starts_with(&format!("{name} "))),
                "{name}"
            );
        }
    }
    Ok(())
}
