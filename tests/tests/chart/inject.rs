//! What asks the controller about pods that are created.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_api::configuration::KEYS;
use crik_tests::chart::template::{chart, of_kind, rendered, template};
use serde_json::{Value, json};

use crate::pod_spec;

const ENABLED: &str = r#"{"inject": {"enabled": true, "agentImage": "crik-agent:0.1.0"}}"#;

fn webhook(objects: &[Value]) -> Result<&Value> {
    Ok(&of_kind(objects, "MutatingWebhookConfiguration")?["webhooks"][0])
}

#[test]
fn nothing_is_asked_about_pods_unless_that_is_wanted() -> Result<()> {
    let objects = rendered("{}")?;
    let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    ensure!(!kinds.contains(&"MutatingWebhookConfiguration") && !kinds.contains(&"Secret"), "{kinds:?}");
    ensure!(!pod_spec(&objects)?.to_string().contains("webhook"));
    Ok(())
}

#[test]
fn only_labelled_pods_of_chosen_namespaces_are_asked_about_and_they_start_without_an_answer() -> Result<()> {
    let objects = rendered(ENABLED)?;
    let webhook = webhook(&objects)?;
    for (key, expected) in [
        ("failurePolicy", json!("Ignore")),
        ("sideEffects", json!("None")),
        ("reinvocationPolicy", json!("IfNeeded")),
        ("timeoutSeconds", json!(3)),
        ("objectSelector", json!({"matchLabels": {"crik.dev/inject": "true"}})),
        ("namespaceSelector", json!({"matchLabels": {"crik.dev/injection": "enabled"}})),
    ] {
        ensure!(webhook[key] == expected, "{key}: {}", webhook[key]);
    }
    ensure!(webhook["rules"].as_array().is_some_and(|rules| rules.len() == 1), "{webhook:#}");
    ensure!(
        webhook["rules"][0]["operations"] == json!(["CREATE"])
            && webhook["rules"][0]["resources"] == json!(["pods"])
    );
    Ok(())
}

#[test]
fn the_service_that_is_asked_leads_to_the_port_that_answers_by_a_name_of_the_certificate() -> Result<()> {
    let objects = rendered(ENABLED)?;
    let asked = &webhook(&objects)?["clientConfig"]["service"];
    let is_asked =
        |object: &&Value| object["kind"] == "Service" && object["metadata"]["name"] == asked["name"];
    let service = objects.iter().find(is_asked).context("no such Service")?;
    ensure!(
        service["spec"]["clusterIP"].is_null() && service["spec"]["ports"][0]["port"] == 443,
        "{service:#}"
    );
    let container = &pod_spec(&objects)?["containers"][0];
    let target = &service["spec"]["ports"][0]["targetPort"];
    let is_it = |port: &&Value| port["name"] == *target;
    let port = container["ports"].as_array().into_iter().flatten().find(is_it).context("no such port")?;
    let arguments = container["args"].to_string();
    let name = format!("{}.crik.svc", asked["name"].as_str().context("no name")?);
    for part in
        [format!("--webhook-listen=[::]:{}", port["containerPort"]), format!("--webhook-names={name}")]
    {
        ensure!(arguments.contains(&part), "{part} is not in {arguments}");
    }
    Ok(())
}

#[test]
fn evictions_are_asked_about_in_the_same_namespaces_and_go_on_without_an_answer() -> Result<()> {
    let objects = rendered(ENABLED)?;
    let of_pods = webhook(&objects)?;
    let webhooks = &of_kind(&objects, "ValidatingWebhookConfiguration")?["webhooks"];
    ensure!(webhooks.as_array().is_some_and(|all| all.len() == 1), "{webhooks:#}");
    for (key, expected) in [
        ("failurePolicy", json!("Ignore")),
        ("sideEffects", json!("NoneOnDryRun")),
        ("timeoutSeconds", json!(3)),
        ("namespaceSelector", of_pods["namespaceSelector"].clone()),
    ] {
        ensure!(webhooks[0][key] == expected, "{key}: {}", webhooks[0][key]);
    }
    let rule = &webhooks[0]["rules"][0];
    ensure!(
        rule["resources"] == json!(["pods/eviction"]) && rule["operations"] == json!(["CREATE"]),
        "{rule:#}"
    );
    let (asked, of_pods) = (&webhooks[0]["clientConfig"]["service"], &of_pods["clientConfig"]["service"]);
    ensure!(asked["name"] == of_pods["name"] && asked["path"].is_null(), "{asked:#}");
    let patient = ENABLED.replacen("\"enabled\": true", "\"enabled\": true, \"timeoutSeconds\": 30", 1);
    let patient = of_kind(&rendered(&patient)?, "ValidatingWebhookConfiguration")?["webhooks"][0].clone();
    ensure!(patient["timeoutSeconds"] == 3, "{patient:#}");
    Ok(())
}

#[test]
fn values_say_how_many_pods_are_moved_at_a_time_and_for_how_long_evictions_wait() -> Result<()> {
    let arguments = |json: &str| -> Result<String> {
        Ok(pod_spec(&rendered(json)?)?["containers"][0]["args"].to_string())
    };
    let usual = arguments(ENABLED)?;
    for flag in ["--workloads", "--moves-per-node=4", "--moves-per-cluster=20", "--eviction-deadline=5m"] {
        ensure!(usual.contains(flag), "{flag} is not in {usual}");
    }
    let moves =
        |text: &str| format!(r#"{{"inject": {{"enabled": true, "agentImage": "a:1", "moves": {text}}}}}"#);
    let other = arguments(&moves(r#"{"perNode": 1, "perCluster": 3, "deadline": "90s"}"#))?;
    for flag in ["--moves-per-node=1", "--moves-per-cluster=3", "--eviction-deadline=90s"] {
        ensure!(other.contains(flag), "{flag} is not in {other}");
    }
    let none = rendered(
        &moves(r#"{"enabled": false}"#).replace("\"enabled\": true", "\"enabled\": true, \"reports\": false"),
    )?;
    ensure!(of_kind(&none, "ValidatingWebhookConfiguration").is_err(), "evictions are asked about");
    let flags = pod_spec(&none)?["containers"][0]["args"].to_string();
    ensure!(!flags.contains("--workloads") && !flags.contains("--moves"), "{flags}");
    for wrong in ["soon", "0s", "3601s", "61m", "2h"] {
        ensure!(template(&moves(&json!({"deadline": wrong}).to_string()))?.is_err(), "{wrong}");
    }
    for wrong in [r#"{"perNode": 0}"#, r#"{"perPod": 1}"#] {
        ensure!(template(&moves(wrong))?.is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn one_value_has_agents_report_with_a_token_of_their_own() -> Result<()> {
    let arguments = |json: &str| -> Result<String> {
        Ok(pod_spec(&rendered(json)?)?["containers"][0]["args"].to_string())
    };
    for flag in ["--reports", "--workloads", "--audience=crik"] {
        ensure!(arguments(ENABLED)?.contains(flag), "{flag}");
    }
    ensure!(!arguments(ENABLED)?.contains("--auth"), "who may read is another question");
    let off = r#"{"inject": {"enabled": true, "agentImage": "a:1", "reports": false, "moves": {"enabled": false}}}"#;
    for flag in ["--reports", "--workloads", "--audience"] {
        ensure!(!arguments(off)?.contains(flag), "{flag}");
        ensure!(!arguments("{}")?.contains(flag), "{flag}");
    }
    let map = rendered(off)?.into_iter().find(|object| object["data"]["inject.yaml"].is_string());
    ensure!(!map.context("no ConfigMap")?.to_string().contains("tokenAudience"));
    Ok(())
}

#[test]
fn one_value_has_cert_manager_issue_the_certificate() -> Result<()> {
    let issued = r#"{"inject": {"enabled": true, "agentImage": "a:1", "certManager": {"issuerRef": {"name": "ca", "kind": "ClusterIssuer"}}}}"#;
    let objects = rendered(issued)?;
    let certificate = of_kind(&objects, "Certificate")?;
    let asked = &webhook(&objects)?["clientConfig"]["service"]["name"];
    let name = asked.as_str().context("no name")?;
    ensure!(certificate["spec"]["dnsNames"] == json!([format!("{name}.crik.svc")]), "{certificate:#}");
    ensure!(certificate["spec"]["issuerRef"] == json!({"name": "ca", "kind": "ClusterIssuer"}));
    let configuration = of_kind(&objects, "MutatingWebhookConfiguration")?;
    let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    let its_name = certificate["metadata"]["name"].as_str().context("no name")?;
    ensure!(*from == json!(format!("crik/{its_name}")), "{from}");
    let spec = pod_spec(&objects)?;
    let secret = json!({"name": "webhook", "secret": {"secretName": certificate["spec"]["secretName"]}});
    ensure!(spec["volumes"].as_array().is_some_and(|all| all.contains(&secret)), "{spec:#}");
    ensure!(of_kind(&objects, "Secret").is_err(), "there is a Secret besides");
    let held = of_kind(&objects, "ValidatingWebhookConfiguration")?;
    ensure!(held["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == *from, "{held:#}");
    let rights = of_kind(&objects, "ClusterRole")?.to_string();
    ensure!(rights.contains("namespaces") && !rights.contains("webhookconfigurations"), "{rights}");
    let arguments = spec["containers"][0]["args"].to_string();
    ensure!(
        arguments.contains("--webhook-tls-cert-file=") && !arguments.contains("--webhook-secret"),
        "{arguments}"
    );
    Ok(())
}

#[test]
fn pods_are_given_the_controllers_address_and_what_values_say() -> Result<()> {
    let given = |json: &str| -> Result<Value> {
        let objects = rendered(json)?;
        let is_it = |object: &&Value| object["metadata"]["name"] == "crik-controller-inject";
        let map = objects.iter().find(is_it).context("no ConfigMap")?;
        Ok(serde_yaml::from_str(map["data"]["inject.yaml"].as_str().context("no text")?)?)
    };
    let url = "http://crik-controller.crik:9376";
    ensure!(
        given(ENABLED)?
            == json!({"agentImage": "crik-agent:0.1.0", "imagePullPolicy": "IfNotPresent", "tokenAudience": "crik",
                      "defaults": {"nodeStateServerURL": url}})
    );
    let more = r#"{"inject": {"enabled": true, "agentImage": "r/a:1", "volumeClaim": "work",
                              "defaults": {"gracePeriod": "15s", "carry": {"layer": false}}},
                   "auth": {"enabled": true, "audience": "own"}}"#;
    ensure!(
        given(more)?
            == json!({"agentImage": "r/a:1", "imagePullPolicy": "IfNotPresent", "volumeClaim": "work", "tokenAudience": "own",
                      "defaults": {"gracePeriod": "15s", "carry": {"layer": false}, "nodeStateServerURL": url}})
    );
    let all = r#"{"inject": {"enabled": true, "agentImage": "a:1", "agentPullSecrets": ["crik"], "pullSecrets": true,
                             "registries": [{"host": "r:5000", "plainHttp": true}], "hostUsers": false, "podSecurityDefault": "baseline"},
                  "networkPolicy": {"apiServer": [{"cidr": "10.0.0.1/32", "port": 6443}]}}"#;
    ensure!(
        given(all)?
            == json!({"agentImage": "a:1", "imagePullPolicy": "IfNotPresent", "tokenAudience": "crik", "agentPullSecrets": ["crik"], "pullSecrets": true,
                      "registries": [{"host": "r:5000", "plainHttp": true}], "hostUsers": false, "podSecurityDefault": "baseline",
                      // Where the controller could not reach any.
                      "lookUpImages": false, "defaults": {"nodeStateServerURL": url}})
    );
    let refused =
        template(r#"{"inject": {"enabled": true, "agentImage": "a:1"}, "tls": {"secretName": "a"}}"#)?;
    ensure!(refused.is_err_and(|why| why.contains("inject.defaults.nodeStateServerCAFile")));
    // There is none that all nodes find by themselves.
    let nowhere = template(r#"{"inject": {"enabled": true}}"#)?;
    ensure!(nowhere.is_err_and(|why| why.contains("inject.agentImage must name the image")));
    Ok(())
}

#[test]
fn a_default_that_the_agent_does_not_know_is_refused_by_its_name() -> Result<()> {
    let refused = template(r#"{"inject": {"defaults": {"gracePerod": "15s"}}}"#)?;
    ensure!(refused.as_ref().is_err_and(|why| why.contains("gracePerod")), "{refused:?}");
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(format!("{}/values.schema.json", chart()))?)?;
    let known = &schema["properties"]["inject"]["properties"]["defaults"]["propertyNames"]["enum"];
    let known: BTreeSet<&str> = known.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let there: BTreeSet<&str> = KEYS.iter().filter_map(|(key, _)| key.split('.').next()).collect();
    ensure!(known == there, "{known:?} {there:?}");
    Ok(())
}
