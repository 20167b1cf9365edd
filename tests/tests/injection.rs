//! Pods that ask for crik by their label, at a real API server that asks a real controller.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::chart::template::{chart, values};
use crik_tests::control_plane::{Account, ControlPlane, PatchKind, Port};
use crik_tests::controller::Controller;
use crik_tests::shared::Shared;
use crik_tests::wait::{PATIENCE, wait_for};
use serde_json::{Value, json};

/// Where crik is in a pod that was put under it.
const CRIK: &str = "/usr/local/lib/crik/bin/crik";

/// What the release of the chart in each of these namespaces is told.
const VALUES: &str = r#"{
    "inject": {"enabled": true, "volumeClaim": "checkpoints", "agentImage": "registry.example/crik-agent:1",
               "namespaceSelector": {"matchLabels": {"crik.dev/injection": "NAMESPACE"}}},
    "resourceQuota": {"enabled": false}
}"#;

static PLANE: Shared<ControlPlane> = Shared::new();

/// A release of the chart in a namespace of its own, whose webhook the API server finds at a port of this machine, and which is asked about
/// pods of this namespace alone. There is nobody here who would run the release's Deployment.
struct Release {
    plane: Arc<ControlPlane>,
    namespace: &'static str,
    port: Port,
}

impl Release {
    fn new(namespace: &'static str) -> Result<Self> {
        let plane = PLANE.get(ControlPlane::start)?;
        let labels = json!({"crik.dev/injection": namespace});
        plane.api().create_all(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}),
        ])?;
        let file = values(&VALUES.replace("NAMESPACE", namespace))?;
        let path = file.path().display().to_string();
        drop(plane.helm(&["install", "crik", &chart(), "--namespace", namespace, "--values", &path])?);
        let release = Self { plane, namespace, port: Port::take()? };
        release.found_at(&[("inject.crik.dev", release.port.number())])?;
        Ok(release)
    }

    /// The name of the release's MutatingWebhookConfiguration.
    fn configuration(&self) -> String {
        format!("{}-crik-controller", self.namespace)
    }

    fn configuration_path(&self) -> String {
        let collection = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        format!("{collection}/{}", self.configuration())
    }

    /// Makes of the chart's webhook one at each of these ports, as there is no Service here.
    fn found_at(&self, ports: &[(&str, u16)]) -> Result<()> {
        let path = self.configuration_path();
        let there = self.plane.api().get(&path)?;
        let at = |(name, port): &(&str, u16)| {
            let mut webhook = there["webhooks"][0].clone();
            webhook["name"] = json!(name);
            webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}/inject")});
            webhook
        };
        let webhooks: Vec<Value> = ports.iter().map(at).collect();
        drop(self.plane.api().patch(&path, PatchKind::Merge, &json!({"webhooks": webhooks}))?);
        Ok(())
    }

    /// The controller of the release, with the rights and the flags that the chart gives it, at this port.
    fn controller_at(&self, port: u16, flags: &[&str]) -> Result<Controller> {
        let account = Account { namespace: self.namespace, name: "crik-controller" };
        let own = self.flags(port)?;
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        Controller::watching(&self.plane.kubeconfig_of(account)?, &[&own[..], flags].concat())
    }

    /// What the chart says of the webhook, but for what is another thing here: where it is.
    fn flags(&self, port: u16) -> Result<Vec<String>> {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/crik-controller", self.namespace);
        let deployment = self.plane.api().get(&path)?;
        let all = deployment["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        let (listen, file) = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), self.settings()?);
        let here = |flag: &str| match flag.split_once('=')?.0 {
            "--webhook-listen" => Some(format!("--webhook-listen={listen}")),
            "--inject-file" => Some(format!("--inject-file={}", file.display())),
            "--webhook-names" => Some("--webhook-names=127.0.0.1".to_owned()),
            other if other.starts_with("--webhook") => Some(flag.to_owned()),
            _ => None,
        };
        Ok(all.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(here).collect())
    }

    /// The same, which the API server has begun to ask.
    fn controller(&self, flags: &[&str]) -> Result<Controller> {
        let controller = self.controller_at(self.port.number(), flags)?;
        controller.logs("the webhook has a certificate")?;
        self.becomes("to be asked", true)?;
        Ok(controller)
    }

    /// What the release's ConfigMap gives its controller.
    fn settings(&self) -> Result<PathBuf> {
        let path = format!("/api/v1/namespaces/{}/configmaps/crik-controller-inject", self.namespace);
        let text = self.plane.api().get(&path)?["data"]["inject.yaml"].clone();
        let file = self.plane.directory().join(format!("{}-inject.yaml", self.namespace));
        std::fs::write(&file, text.as_str().context("no inject.yaml")?)?;
        Ok(file)
    }

    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// What a dry run of a labelled pod makes of it.
    fn tried(&self) -> Result<Value> {
        self.plane.api().create(&format!("{}?dryRun=All", self.pods()), &pod("tried", &json!({})))
    }

    /// Waits until labelled pods are put under crik, or are not.
    fn becomes(&self, what: &str, under_crik: bool) -> Result<()> {
        wait_for(&format!("the webhook {what}"), || {
            self.tried().is_ok_and(|pod| is_under_crik(&pod) == under_crik).then_some(())
        })
    }

    /// What kubectl says to whoever creates this pod, with its warnings.
    fn warned(&self, pod: &Value) -> Result<String> {
        let file = values(&pod.to_string())?;
        let path = file.path().display().to_string();
        let words = ["create", "--namespace", self.namespace, "--filename", &path];
        let said = self.plane.kubectl(&[&words[..], &["--dry-run=server", "--warnings-as-errors"]].concat());
        Ok(format!("{:#}", said.err().context("there is no warning")?))
    }
}

/// A labelled pod with these changes.
fn pod(name: &str, change: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"crik.dev/inject": "true"}},
        "spec": {"containers": [{"name": "app", "image": "python:3", "command": ["python3", "job.py"]}]},
    });
    merge(&mut pod, change);
    pod
}

/// As RFC 7396 has it.
fn merge(into: &mut Value, change: &Value) {
    let (Value::Object(into), Value::Object(change)) = (&mut *into, change) else {
        *into = change.clone();
        return;
    };
    for (key, value) in change {
        merge(into.entry(key.clone()).or_insert(Value::Null), value);
    }
}

fn is_under_crik(pod: &Value) -> bool {
    pod["spec"]["containers"][0]["command"][0] == CRIK
}

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

#[test]
fn what_cannot_work_is_said_to_whoever_creates_the_pod() -> Result<()> {
    let release = Release::new("warned")?;
    let _controller = release.controller(&[])?;
    for (change, said) in [
        (json!({"spec": {"containers": [{"name": "app", "image": "python:3"}]}}), "has no command"),
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
