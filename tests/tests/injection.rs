//! Pods that ask for crik by their label, at a real API server that asks a real controller.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use crik_tests::chart::release::{Release, is_under_crik, pod};
use crik_tests::control_plane::{PatchKind, Port};
use crik_tests::controller::Controller;
use crik_tests::registry::Registry;
use crik_tests::wait::{PATIENCE, wait_for};
use serde_json::{Value, json};

#[test]
fn one_label_puts_a_pod_under_crik_and_a_pod_without_it_is_left_alone() -> Result<()> {
    let release = Release::new("label")?;
    let controller = release.controller(&[])?;
    let created = release.plane.api().create(&release.pods(), &pod("labelled", &json!({})))?;
    ensure!(is_under_crik(&created), "{created:#}");
    let spec = &created["spec"];
    ensure!(spec["initContainers"][0]["image"] == "registry.example/crik-agent:1", "{spec:#}");
    let variables = spec["containers"][0]["env"].as_array().context("no variables")?;
    let config = variables.iter().find(|one| one["name"] == "CRIK_CONFIG").context("no configuration")?;
    let text = config["value"].as_str().context("no text")?;
    for part in
        ["imageDir: /checkpoints/${POD_NAME}", "gracePeriod: 30s", "http://crik-controller.label:9376"]
    {
        ensure!(text.contains(part), "{part} is not in {text}");
    }
    let other = json!({"metadata": {"labels": {"crik.dev/inject": "false"}}});
    let left = release.plane.api().create(&release.pods(), &pod("other", &other))?;
    ensure!(left["spec"]["containers"][0]["command"] == json!(["python3", "job.py"]), "{left:#}");
    ensure!(left["spec"]["initContainers"].is_null(), "{left:#}");
    // The API server does not even ask about it.
    ensure!(controller.metric("crik_admissions_total{result=\"unasked\"}").is_err());
    ensure!(controller.log().contains("a pod is put under crik"), "{}", controller.log());
    Ok(())
}

#[test]
fn a_dry_run_shows_what_would_be_and_leaves_nothing() -> Result<()> {
    let release = Release::new("dry-run")?;
    let _controller = release.controller(&[])?;
    ensure!(is_under_crik(&release.tried()?), "a dry run shows another pod");
    let there = release.plane.api().get(&release.pods())?;
    ensure!(there["items"] == json!([]), "{there:#}");
    Ok(())
}

#[test]
fn two_webhooks_that_both_add_crik_add_it_once() -> Result<()> {
    let release = Release::new("twice")?;
    let port = release.port.number();
    release.found_at(&[("a.crik.dev", port), ("b.crik.dev", port)])?;
    let controller = release.controller(&[])?;
    let before = controller.metric("crik_admissions_total{result=\"unchanged\"}").unwrap_or_default();
    let created = release.plane.api().create(&release.pods(), &pod("once", &json!({})))?;
    let init = created["spec"]["initContainers"].as_array().context("no init container")?;
    ensure!(
        init.len() == 1
            && created["spec"]["containers"][0]["env"].as_array().is_some_and(|all| all.len() == 4)
    );
    ensure!(
        created["spec"]["containers"][0]["command"].as_array().is_some_and(|words| words.len() == 5),
        "{created:#}"
    );
    let after = controller.metric("crik_admissions_total{result=\"unchanged\"}")?;
    ensure!(after > before, "it was asked once: {before} {after}");
    Ok(())
}

#[test]
fn pods_start_without_crik_while_the_controller_is_down_and_with_it_when_it_is_back() -> Result<()> {
    let release = Release::new("down")?;
    let created = release.plane.api().create(&release.pods(), &pod("before", &json!({})))?;
    ensure!(!is_under_crik(&created), "{created:#}");
    let mut controller = release.controller(&[])?;
    controller.terminate()?;
    controller.wait()?;
    let created = release.plane.api().create(&release.pods(), &pod("meanwhile", &json!({})))?;
    ensure!(!is_under_crik(&created), "{created:#}");
    controller.restart()?;
    release.becomes("to be asked again", true)
}

#[test]
fn a_webhook_that_hangs_holds_a_pod_up_for_its_timeout_and_no_longer() -> Result<()> {
    let release = Release::new("hangs")?;
    // The kernel accepts for it.
    let _hangs = TcpListener::bind((Ipv4Addr::LOCALHOST, release.port.number()))?;
    let began = Instant::now();
    let created = release.plane.api().create(&release.pods(), &pod("patient", &json!({})))?;
    let took = began.elapsed();
    ensure!(!is_under_crik(&created), "{created:#}");
    eprintln!("a webhook that hangs has held a pod up for {:.1} s", took.as_secs_f64());
    ensure!(took >= Duration::from_secs(3) && took < Duration::from_secs(10), "{took:?}");
    Ok(())
}

fn claim(name: &str, mode: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
           "spec": {"accessModes": [mode], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}})
}

#[test]
fn what_an_image_starts_is_known_by_its_registry() -> Result<()> {
    let registry = Registry::start()?;
    let known = json!({"registries": [{"host": registry.host(), "plainHttp": true}]});
    let release = Release::with("looked-up", &known)?;
    let _controller = release.controller(&[])?;
    let image = registry.push("own/app:1", &json!({"Entrypoint": ["/entry", "-v"], "Cmd": ["serve"]}))?;
    for (args, expected) in [(Value::Null, json!(["serve"])), (json!(["once"]), json!(["once"]))] {
        let container = json!({"name": "app", "image": image, "args": args});
        let change = json!({"spec": {"containers": [container]}});
        let created =
            release.plane.api().create(&format!("{}?dryRun=All", release.pods()), &pod("bare", &change))?;
        let container = &created["spec"]["containers"][0];
        ensure!(is_under_crik(&created), "{created:#}");
        ensure!(
            container["command"].as_array().is_some_and(|all| all[1..] == ["run", "--", "/entry", "-v"]),
            "{container:#}"
        );
        ensure!(container["args"] == expected, "{container:#}");
    }
    let none =
        json!({"spec": {"containers": [{"name": "app", "image": format!("{}/none:1", registry.host())}]}});
    let warning = release.warned(&pod("none", &none))?;
    ensure!(warning.contains("its registry answers 404; give it as command"), "{warning}");
    Ok(())
}

#[test]
fn the_pull_secrets_of_a_pods_service_account_are_among_its_own_when_it_is_asked_about() -> Result<()> {
    let registry = Registry::start()?;
    let known = json!({"registries": [{"host": registry.host(), "plainHttp": true}], "pullSecrets": true});
    let release = Release::with("secrets", &known)?;
    let controller = release.controller(&["--debug"])?;
    let image = registry.push("own/app:1", &json!({"Cmd": ["serve"]}))?;
    let auths = json!({"auths": {registry.host(): {"username": "user", "password": "password"}}}).to_string();
    let data = json!({".dockerconfigjson": base64::engine::general_purpose::STANDARD.encode(auths)});
    let api = release.plane.api();
    api.create(
        "/api/v1/namespaces/secrets/secrets",
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson", "data": data}),
    )?;
    let names = json!({"imagePullSecrets": [{"name": "pull"}]});
    drop(api.patch("/api/v1/namespaces/secrets/serviceaccounts/default", PatchKind::Merge, &names)?);
    let change = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
    let created = wait_for("the API server to know the ServiceAccount's secret", || {
        let created = api.create(&format!("{}?dryRun=All", release.pods()), &pod("bare", &change)).ok()?;
        (created["spec"]["imagePullSecrets"] == names["imagePullSecrets"]).then_some(created)
    })?;
    ensure!(
        is_under_crik(&created) && created["spec"]["containers"][0]["args"] == json!(["serve"]),
        "{created:#}"
    );
    let log = controller.log();
    ensure!(log.contains("1 of the pod's pull secrets") && !log.contains("cannot be read"), "{log}");
    Ok(())
}

#[test]
fn without_a_certificate_whoever_creates_a_pod_waits_for_nobody() -> Result<()> {
    let release = Release::new("uncertified")?;
    let secret = "/api/v1/namespaces/uncertified/secrets/crik-controller-webhook";
    drop(release.plane.api().delete(secret)?);
    let controller = release.controller_at(release.port.number(), &[])?;
    controller.logs("if it was deleted, helm upgrade makes it anew")?;
    ensure!(crik_tests::http::get(&controller.url("/readyz"))?.status == 200, "agents are not answered");
    let began = Instant::now();
    let created = release.plane.api().create(&release.pods(), &pod("soon", &json!({})))?;
    let took = began.elapsed();
    ensure!(!is_under_crik(&created), "{created:#}");
    ensure!(took < Duration::from_secs(3), "{took:?}");
    let empty = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "crik-controller-webhook"}});
    release.plane.api().create("/api/v1/namespaces/uncertified/secrets", &empty)?;
    release.becomes("to have a certificate", true)
}

#[test]
fn what_cannot_work_is_said_to_whoever_creates_the_pod() -> Result<()> {
    let release = Release::new("warned")?;
    release.plane.api().create(&release.claims(), &claim("alone", "ReadWriteOnce"))?;
    release.plane.api().create(&release.claims(), &claim("checkpoints", "ReadWriteMany"))?;
    let _controller = release.controller(&[])?;
    let said = release.warned(&pod("well", &json!({})));
    ensure!(said.is_err(), "{said:?}");
    for (change, said) in [
        (json!({"spec": {"containers": [{"name": "app", "image": "localhost:1/a:1"}]}}), "has no command"),
        (
            json!({"spec": {"containers": [{"name": "app", "image": "169.254.169.254/a:1"}]}}),
            "an address of the node itself",
        ),
        (json!({"spec": {"shareProcessNamespace": true}}), "with shareProcessNamespace"),
        (json!({"spec": {"nodeSelector": {"kubernetes.io/os": "windows"}}}), "for Windows"),
        (
            json!({"metadata": {"annotations": {"crik.dev/volume-claim": "nowhere"}}}),
            "there is no claim nowhere",
        ),
        (
            json!({"metadata": {"annotations": {"crik.dev/volume-claim": "alone"}}}),
            "the claim alone is ReadWriteOnce",
        ),
        (
            json!({"metadata": {"annotations": {"crik.dev/interval": "soon"}}}),
            "crik.dev/interval is left out",
        ),
        (json!({"spec": {"terminationGracePeriodSeconds": 5}}), "leaves no time for a checkpoint"),
        (json!({"metadata": {"annotations": {"crik.dev/container": "ap"}}}), "no container \"ap\""),
        (
            json!({"metadata": {"annotations": {"crik.dev/image-dir": "/tmp/a"}}}),
            "the container's own file system",
        ),
        (json!({"metadata": {"annotations": {"crik.dev/grace": "5s"}}}), "crik.dev/grace is left out"),
    ] {
        let warning = release.warned(&pod("warned", &change))?;
        ensure!(warning.contains("Warning: crik: ") && warning.contains(said), "{said}: {warning}");
    }
    Ok(())
}

#[test]
fn a_pod_that_the_namespace_would_refuse_with_crik_is_let_in_without() -> Result<()> {
    let release = Release::new("secured")?;
    let _controller = release.controller(&[])?;
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    drop(release.plane.api().patch("/api/v1/namespaces/secured", PatchKind::Merge, &labels)?);
    release.becomes("to know the namespace's level", false)?;
    let warning = release.warned(&pod("warned", &json!({})))?;
    ensure!(warning.contains("enforces the Pod Security level baseline"), "{warning}");
    Ok(())
}

/// The authorities that the API server believes, one for each webhook.
fn authorities(release: &Release) -> Result<BTreeSet<String>> {
    let there = release.plane.api().get(&release.configuration_path())?;
    let webhooks = there["webhooks"].as_array().context("no webhooks")?;
    Ok(webhooks.iter().map(|one| one["clientConfig"]["caBundle"].to_string()).collect())
}

/// Two replicas, each of which is asked about pods that the other is not asked about.
fn replicas(release: &Release, flags: &[&str]) -> Result<(Port, [Controller; 2])> {
    let second = Port::take()?;
    let ports = [release.port.number(), second.number()];
    release.found_at(&[("a.crik.dev", ports[0]), ("b.crik.dev", ports[1])])?;
    let path = release.configuration_path();
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let selector = json!({"matchLabels": {"crik.dev/inject": "true", "replica": name}});
        let patch =
            json!([{"op": "replace", "path": format!("/webhooks/{at}/objectSelector"), "value": selector}]);
        drop(release.plane.api().patch(&path, PatchKind::Json, &patch)?);
    }
    let started = ports.map(|port| release.controller_at(port, flags));
    let [first, other] = started;
    Ok((second, [first?, other?]))
}

#[test]
fn certificates_and_their_authority_roll_and_no_pod_starts_without_crik() -> Result<()> {
    let release = Release::new("rolls")?;
    let (_port, _controllers) = replicas(&release, &["--webhook-certificate-life", "12s"])?;
    let asked = |name: &str| -> Result<bool> {
        let labelled = pod("tried", &json!({"metadata": {"labels": {"replica": name}}}));
        let made = release.plane.api().create(&format!("{}?dryRun=All", release.pods()), &labelled)?;
        Ok(is_under_crik(&made))
    };
    for name in ["a", "b"] {
        wait_for(&format!("replica {name} to be asked"), || asked(name).ok().filter(|asked| *asked))?;
    }
    let first = authorities(&release)?;
    ensure!(first.len() == 1, "{first:?}");
    let (began, mut pods, mut rolled) = (Instant::now(), 0, None);
    // As long after that as a certificate of the authority before is good.
    while rolled.is_none_or(|rolled: Instant| rolled.elapsed() < Duration::from_secs(13)) {
        for name in ["a", "b"] {
            ensure!(asked(name)?, "replica {name} was not believed after {:?}", began.elapsed());
            pods += 1;
        }
        if rolled.is_none() && authorities(&release)? != first {
            rolled = Some(Instant::now());
        }
        ensure!(began.elapsed() < PATIENCE * 3, "no other authority after {pods} pods");
    }
    eprintln!("{pods} pods while certificates of 12 s rolled, and their authority");
    Ok(())
}

#[test]
fn an_authority_that_somebody_has_removed_is_told_again() -> Result<()> {
    let release = Release::new("mended")?;
    let _controller = release.controller(&["--webhook-certificate-life", "1m"])?;
    release.found_at(&[("inject.crik.dev", release.port.number())])?;
    release.becomes("to be believed no more", false)?;
    release.becomes("to be believed again", true)
}

#[test]
fn an_answer_takes_milliseconds() -> Result<()> {
    let release = Release::new("soon")?;
    let controller = release.controller(&[])?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        ensure!(is_under_crik(&release.tried()?));
        times.push(began.elapsed());
    }
    times.sort();
    eprintln!("a dry run with crik took {:?}, and {:?} at the 99th percentile", times[50], times[98]);
    // Of this machine, which others use too.
    ensure!(times[50] < Duration::from_millis(500), "{times:?}\n{}", controller.log());
    Ok(())
}
