//! Who the agent believes, and what it shows: TLS and tokens, each mistake in words, and none of them a crash.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_tests::control_plane::{Account, Certificates, ControlPlane, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::replicas::Replica::Serves;
use crik_tests::replicas::{NAME, Replicas};
use crik_tests::spec::bind;
use crik_tests::story::{CHECKPOINTED, SINGLE, started};
use crik_tests::volume::Volume;
use serde_json::json;

const STOPPED: i32 = 7;

/// A pod on `node-a` that asks the controller at `port` by its name, and has a directory of the test's at `/access`.
struct Scene {
    pod: Pod,
    _replicas: Replicas,
    _network: Network,
    _volume: Volume,
}

fn scene(scheme: &str, port: u16, access: &Path) -> Result<Scene> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let replicas = Replicas::new(&network, &[Serves(port)])?;
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .config(&format!("nodeStateServerURL: {}\nonUnknown: terminate", replicas.url(scheme)))
        .hosts(&replicas.hosts())
        .network(&network)
        .same_node_name()
        .with(|spec| {
            spec.env("GOODBYE", &STOPPED.to_string());
            spec.mounts.push(bind(access, "/access", "ro"));
        });
    Ok(Scene { pod, _replicas: replicas, _network: network, _volume: volume })
}

fn stops(running: &mut Running, expected: i32, because: &str) -> Result<()> {
    let code = running.stop()?;
    ensure!(code == expected, "exit code {code}, not {expected}\n{}", running.transcript());
    running.stderr.wait_for(because).with_context(|| running.transcript())
}

/// A controller that serves HTTPS as `name`, and knows that `node-a` shuts down.
fn secure_controller(certificates: &Certificates, name: &str) -> Result<Controller> {
    let pair = certificates.server(name, &[name.to_owned()])?;
    let (certificate, key) = (pair.certificate.display().to_string(), pair.key.display().to_string());
    let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    Controller::start_flagged(&[TestNode::ready("node-a").shutting_down()], &flags)
}

#[test]
fn a_controller_that_proves_who_it_is_is_believed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let certificates = Certificates::new(directory.path())?;
    let controller = secure_controller(&certificates, NAME)?;
    let scene = scene("https", controller.port(), directory.path())?;
    let pod = scene.pod.clone().config("nodeStateServerCAFile: /access/ca.crt");
    stops(&mut started(&pod)?, CHECKPOINTED, "node node-a is shutting-down (kubelet-shutdown)")
}

#[test]
fn one_that_does_not_is_named_with_the_remedy_and_not_believed() -> Result<()> {
    let (directory, stranger) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let certificates = Certificates::new(directory.path())?;
    drop(Certificates::new(stranger.path())?);
    fs::copy(stranger.path().join("ca.crt"), directory.path().join("stranger.crt"))?;
    fs::write(directory.path().join("text"), "no certificate")?;
    let controller = secure_controller(&certificates, NAME)?;
    let elsewhere = secure_controller(&certificates, "somebody.else")?;
    let plain = Controller::start(&[TestNode::ready("node-a").shutting_down()])?;
    for (scheme, port, config, message) in [
        (
            "https",
            controller.port(),
            "nodeStateServerCAFile: /access/stranger.crt",
            "of no authority in /access/stranger.crt",
        ),
        (
            "https",
            elsewhere.port(),
            "nodeStateServerCAFile: /access/ca.crt",
            "its certificate is not for crik-controller.crik",
        ),
        ("https", plain.port(), "nodeStateServerCAFile: /access/ca.crt", "it does not speak TLS"),
        (
            "https",
            controller.port(),
            "nodeStateServerCAFile: /access/missing",
            "/access/missing cannot be used: No such file",
        ),
        (
            "https",
            controller.port(),
            "nodeStateServerCAFile: /access/text",
            "it has no certificate in PEM form",
        ),
        ("https", controller.port(), "", "set nodeStateServerCAFile"),
        ("http", controller.port(), "", "the controller"),
    ] {
        let scene = scene(scheme, port, directory.path())?;
        let mut running = started(&scene.pod.clone().config(config).config("decisionTimeout: 500ms"))?;
        // At the start already, and not at the preemption.
        running.stderr.wait_for("the node's state is not known").with_context(|| running.transcript())?;
        running.stderr.wait_for(message).with_context(|| running.transcript())?;
        stops(&mut running, STOPPED, "onUnknown is terminate")?;
    }
    Ok(())
}

#[test]
fn authorities_that_are_replaced_are_believed_from_then_on() -> Result<()> {
    let (directory, next) = (tempfile::tempdir()?, tempfile::tempdir()?);
    drop(Certificates::new(directory.path())?);
    let controller = secure_controller(&Certificates::new(next.path())?, NAME)?;
    let scene = scene("https", controller.port(), directory.path())?;
    let mut running = started(&scene.pod.clone().config("nodeStateServerCAFile: /access/ca.crt"))?;
    running.stderr.wait_for("of no authority in /access/ca.crt")?;
    fs::copy(next.path().join("ca.crt"), directory.path().join("ca.crt"))?;
    running.stderr.wait_for("node state learned state=shutting-down")?;
    stops(&mut running, CHECKPOINTED, "node node-a is shutting-down")
}

/// What the agent has used so far: its memory in KiB, with and without what is read from its file, and how often it woke up.
fn used(running: &Running) -> Result<[u64; 3]> {
    let agent = running.processes().into_iter().find(|process| process.pid == 1).context("no agent")?;
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let status = fs::read_to_string(format!("/proc/{}/status", agent.host_pid))?;
    let mut woken = 0;
    for task in fs::read_dir(format!("/proc/{}/task", agent.host_pid))? {
        let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
        woken += field(&status, "voluntary_ctxt_switches:");
    }
    Ok([field(&status, "VmRSS:"), field(&status, "RssAnon:"), woken])
}

#[test]
fn an_agent_that_follows_its_node_sleeps_and_is_small() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let certificates = Certificates::new(directory.path())?;
    let secure = secure_controller(&certificates, NAME)?;
    let plain = Controller::start(&[TestNode::ready("node-a").shutting_down()])?;
    let ways =
        [("http", plain.port(), ""), ("https", secure.port(), "nodeStateServerCAFile: /access/ca.crt")];
    let started = ways.map(|(scheme, port, config)| -> Result<_> {
        let scene = scene(scheme, port, directory.path())?;
        let running = started(&scene.pod.clone().config(config))?;
        Ok((scheme, scene, running))
    });
    let started = started.into_iter().collect::<Result<Vec<_>>>()?;
    // Threads of the start end after ten seconds without work (tokio's default). The program is looked at after 2, 6, 14 and 30 seconds,
    // and then once a minute.
    std::thread::sleep(Duration::from_secs(17));
    let before = started.iter().map(|(_, _, running)| used(running)).collect::<Result<Vec<_>>>()?;
    std::thread::sleep(Duration::from_secs(10));
    for ((scheme, _, running), before) in started.iter().zip(before) {
        let [all, own, woken] = used(running)?;
        println!("{scheme}: {all} KiB, {own} KiB of them its own; woken {} times in 10 s", woken - before[2]);
        // The hold is renewed every 15 s (claimExpiry), by a thread for each step on the volume.
        ensure!(woken - before[2] <= 12, "it does not sleep");
        ensure!(own < 6 << 10, "it is not small");
    }
    Ok(())
}

/// A control plane with a pod on each of two nodes.
fn cluster() -> Result<ControlPlane> {
    let plane = ControlPlane::start()?;
    let node = |name: &str| json!({"kind": "Node", "metadata": {"name": name}});
    let pod = |name: &str, node: &str| {
        json!({"kind": "Pod", "metadata": {"name": name}, "spec": {
            "serviceAccountName": "app", "nodeName": node, "containers": [{"name": "app", "image": "app"}]}})
    };
    let account = json!({"kind": "ServiceAccount", "metadata": {"name": "app"}});
    let objects = [node("node-a"), node("node-b"), account, pod("job-0", "node-a"), pod("job-1", "node-b")];
    plane.api().create_all(&objects)?;
    Ok(plane)
}

fn token(plane: &ControlPlane, pod: &str, audience: &str) -> Result<String> {
    let account = Account { namespace: "default", name: "app" };
    plane.token(account, TokenRequest { audience, pod, seconds: 0 })
}

const WITH_TOKEN: &str = "nodeStateServerTokenFile: /access/token\ndecisionTimeout: 500ms";

#[test]
fn a_token_opens_the_door_and_each_mistake_is_named() -> Result<()> {
    let plane = cluster()?;
    let nodes = [TestNode::ready("node-a").shutting_down()];
    let controller = Controller::asking(&plane.kubeconfig(), &nodes, &[])?;
    let access = tempfile::tempdir()?;
    let file = access.path().join("token");
    for (token, config, message) in [
        (None, "", "401 Unauthorized: no token"),
        (None, "", "it wants a token: set nodeStateServerTokenFile to a projected ServiceAccount token"),
        (None, WITH_TOKEN, "nodeStateServerTokenFile /access/token cannot be used: No such file"),
        (None, WITH_TOKEN, "mount a projected ServiceAccount token there"),
        (Some(String::new()), WITH_TOKEN, "it is empty"),
        (
            Some("nonsense".to_owned()),
            WITH_TOKEN,
            "the audience of the token in nodeStateServerTokenFile must be",
        ),
        (Some(token(&plane, "job-0", "")?), WITH_TOKEN, "the audience of the token"),
        (
            Some(token(&plane, "job-1", "crik")?),
            WITH_TOKEN,
            "KUBERNETES_NODE_NAME must come from spec.nodeName",
        ),
    ] {
        let scene = scene("http", controller.port(), access.path())?;
        match &token {
            Some(token) => fs::write(&file, token)?,
            None => drop(fs::remove_file(&file)),
        }
        let mut running = started(&scene.pod.clone().config(config))?;
        running.stderr.wait_for("the node's state is not known")?;
        running.stderr.wait_for(message).with_context(|| running.transcript())?;
        stops(&mut running, STOPPED, "onUnknown is terminate")?;
        ensure!(
            token.is_none_or(|token| token.is_empty() || !running.stderr.text().contains(&token)),
            "a token is in the log"
        );
    }
    fs::write(&file, token(&plane, "job-0", "crik")?)?;
    let scene = scene("http", controller.port(), access.path())?;
    let mut running = started(&scene.pod.clone().config(WITH_TOKEN))?;
    stops(&mut running, CHECKPOINTED, "node node-a is shutting-down")
}

#[test]
fn a_token_is_read_anew_for_each_question() -> Result<()> {
    let plane = cluster()?;
    let nodes = [TestNode::ready("node-a").shutting_down()];
    let controller = Controller::asking(&plane.kubeconfig(), &nodes, &[])?;
    let access = tempfile::tempdir()?;
    fs::write(access.path().join("token"), token(&plane, "job-0", "somebody-else")?)?;
    let scene = scene("http", controller.port(), access.path())?;
    let mut running = started(&scene.pod.clone().config(WITH_TOKEN))?;
    running.stderr.wait_for("the audience of the token")?;
    // As the kubelet does it: another file takes its place.
    let next = access.path().join("next");
    fs::write(&next, token(&plane, "job-0", "crik")?)?;
    fs::rename(next, access.path().join("token"))?;
    running.stderr.wait_for("node state learned state=shutting-down")?;
    stops(&mut running, CHECKPOINTED, "node node-a is shutting-down")
}
