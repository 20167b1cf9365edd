//! Who reaches the controller, and whom it reaches.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chart::template::{of_kind, rendered};
use serde_json::{Value, json};

use crate::ALL;

/// Who may ask, one entry each.
fn sources(objects: &[Value]) -> Result<Vec<String>> {
    let ingress = of_kind(objects, "NetworkPolicy")?["spec"]["ingress"].as_array().context("no ingress")?;
    let of_port = |name: &str| json!([{"protocol": "TCP", "port": name}]);
    let (api, others): (Vec<_>, Vec<_>) = ingress.iter().partition(|entry| entry["ports"] == of_port("api"));
    // The API server's, from wherever it comes.
    let is_asked = |entry: &&Value| entry["ports"] == of_port("webhook") && entry["from"].is_null();
    ensure!(others.iter().all(is_asked), "{others:?}");
    Ok(api.iter().map(|entry| entry["from"].to_string()).collect())
}

#[test]
fn where_only_some_may_ask_the_test_and_prometheus_still_may() -> Result<()> {
    ensure!(sources(&rendered(r#"{"networkPolicy": {"from": []}}"#)?)? == ["null"], "everybody may ask");
    let every_pod = sources(&rendered("{}")?)?;
    ensure!(every_pod[0] == r#"[{"namespaceSelector":{}}]"#, "{every_pod:?}");
    let objects = rendered(ALL)?;
    let few = sources(&objects)?;
    let test = &of_kind(&objects, "Pod")?["metadata"]["labels"];
    ensure!(few.len() == 2 && few[0] == r#"[{"namespaceSelector":{}}]"#, "{few:?}");
    let from: Value = serde_json::from_str(&few[1])?;
    let asked = from[0]["podSelector"]["matchLabels"].as_object().context("no labels")?;
    ensure!(asked.len() == 2 && asked.iter().all(|(key, value)| test[key] == *value), "{few:?}");
    let monitored =
        r#"{"networkPolicy": {"from": [{"podSelector": {}}]}, "serviceMonitor": {"enabled": true}}"#;
    let monitored = sources(&rendered(monitored)?)?;
    ensure!(monitored.len() == 3 && monitored[2].contains("prometheus"), "{monitored:?}");
    Ok(())
}

#[test]
fn with_its_address_the_api_server_is_all_that_is_reached() -> Result<()> {
    let policy =
        |values: &str| -> Result<Value> { Ok(of_kind(&rendered(values)?, "NetworkPolicy")?["spec"].clone()) };
    ensure!(policy("{}")?["policyTypes"] == json!(["Ingress"]));
    let few = policy(r#"{"networkPolicy": {"apiServer": [{"cidr": "10.0.0.1/32", "port": 6443}]}}"#)?;
    ensure!(few["policyTypes"] == json!(["Ingress", "Egress"]), "{few:#}");
    let expected = json!([{"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
                           "ports": [{"protocol": "TCP", "port": 6443}]}]);
    ensure!(few["egress"] == expected, "{few:#}");
    let registries = policy(
        r#"{"networkPolicy": {"apiServer": [{"cidr": "10.0.0.1/32", "port": 6443}],
                              "registries": [{"cidr": "0.0.0.0/0", "port": 443}]}}"#,
    )?;
    let more = json!([expected[0], {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP", "port": 443}]},
                      {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]);
    ensure!(registries["egress"] == more, "{registries:#}");
    Ok(())
}
