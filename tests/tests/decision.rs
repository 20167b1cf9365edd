//! The decision: a SIGTERM means a checkpoint when the node goes away, and an ordinary stop when it does not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

const CHECKPOINTED: i32 = 143;
const STOPPED: i32 = 7;

/// A pod on `node-a`, and on the machine that comes in its place, that asks a controller at `port` and answers a SIGTERM by exiting with [`STOPPED`].
fn pod(volume: &Volume, network: &Network, port: u16) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/single.py"])
        .config(&format!("nodeStateServerURL: http://{}:{port}", network.host()))
        .network(network)
        .same_node_name()
        .with(|spec| spec.env("GOODBYE", &STOPPED.to_string()))
}

fn started(pod: &Pod) -> Result<Running> {
    let running = pod.start()?;
    running.wait_for_lines(5)?;
    Ok(running)
}

fn ends_with(running: &mut Running, expected: i32, because: &str) -> Result<()> {
    let code = running.wait()?;
    ensure!(code == expected, "exit code {code}, not {expected}\n{}", running.transcript());
    running.stderr.wait_for(because).with_context(|| running.transcript())
}

/// What a node that looks like this means.
fn means(node: TestNode, expected: i32, because: &str) -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[node])?;
    let mut running = started(&pod(&volume, &network, controller.port()))?;
    running.signal(Signal::SIGTERM)?;
    ends_with(&mut running, expected, because)
}

#[test]
fn a_node_that_shuts_down_means_a_checkpoint() -> Result<()> {
    means(
        TestNode::ready("node-a").shutting_down(),
        CHECKPOINTED,
        "node node-a is shutting-down (kubelet-shutdown)",
    )
}

#[test]
fn a_node_that_is_cordoned_means_a_checkpoint() -> Result<()> {
    means(TestNode::ready("node-a").cordoned(), CHECKPOINTED, "node node-a is cordoned")
}

#[test]
fn a_node_that_is_ready_means_an_ordinary_stop_and_a_fresh_start() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a").shutting_down()])?;
    let pod = pod(&volume, &network, controller.port());
    let mut first = started(&pod)?;
    first.signal(Signal::SIGTERM)?;
    ends_with(&mut first, CHECKPOINTED, "is durable")?;
    controller.set_nodes(&[TestNode::ready("node-a").recreated()])?;
    let mut second = started(&pod)?;
    second.signal(Signal::SIGTERM)?;
    ends_with(&mut second, STOPPED, "the application is told to stop: node node-a is ready")?;
    // Someone wanted it stopped, so its past is not resumed.
    let third = started(&pod)?;
    third.stderr.wait_for("generations up to 00000001 are not resumed")?;
    third.stderr.wait_for("the application starts fresh")
}

#[test]
fn a_state_that_turns_after_the_sigterm_means_a_checkpoint() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let pod = pod(&volume, &network, controller.port()).config("decisionTimeout: 10s");
    let mut running = started(&pod)?;
    running.signal(Signal::SIGTERM)?;
    // The kubelet's patch lands this much later; the time is the case, not a wait for something.
    thread::sleep(Duration::from_millis(300));
    controller.set_nodes(&[TestNode::ready("node-a").shutting_down()])?;
    ends_with(&mut running, CHECKPOINTED, "node node-a is shutting-down")
}

#[test]
fn a_configured_list_of_states_is_followed() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a").cordoned()])?;
    let pod = pod(&volume, &network, controller.port())
        .config("checkpointOn: [shutting-down]\ndecisionTimeout: 500ms");
    let mut running = started(&pod)?;
    running.signal(Signal::SIGTERM)?;
    ends_with(&mut running, STOPPED, "node node-a is cordoned")
}

/// With a controller that tells nothing, `onUnknown` decides, either way, when `decisionTimeout` is over.
fn undetermined(port: u16, because: &str) -> Result<()> {
    for (word, expected) in [("checkpoint", CHECKPOINTED), ("terminate", STOPPED)] {
        let (volume, network) = (Volume::new()?, Network::new()?);
        let pod = pod(&volume, &network, port).config(&format!("onUnknown: {word}\ndecisionTimeout: 1s"));
        let mut running = started(&pod)?;
        running.signal(Signal::SIGTERM)?;
        ends_with(&mut running, expected, because)?;
        let waited = waited(&running)?;
        println!("{because}: onUnknown: {word} was followed after {waited:?}");
        // The agent's own account of its wait, which no busy machine makes shorter; far from a second time-out.
        ensure!(waited >= Duration::from_millis(950) && waited < Duration::from_secs(5), "{waited:?}");
    }
    Ok(())
}

/// How long the agent says that the decision took.
fn waited(running: &Running) -> Result<Duration> {
    let log = running.stderr.text();
    let line = log.lines().find(|line| line.contains("step=\"decide\"")).context("no decision")?;
    let (_, rest) = line.split_once(" ms=").context("no duration")?;
    Ok(Duration::from_millis(rest.split_whitespace().next().context("no number")?.parse()?))
}

/// Stands in for a controller that misbehaves, which the real one cannot be made to.
fn fake_controller(answer: &'static [u8]) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            if answer.is_empty() {
                // Keeps the client waiting, until it closes.
                thread::spawn(move || stream.read(&mut [0; 1]));
            } else {
                let _ = stream.write_all(answer);
            }
        }
    });
    Ok(port)
}

#[test]
fn a_controller_that_is_not_there_is_undetermined() -> Result<()> {
    // A port that was just free, and that nobody listens on.
    let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port();
    undetermined(port, "the controller does not answer")
}

#[test]
fn a_controller_that_is_not_ready_is_undetermined() -> Result<()> {
    let controller = Controller::start_with("kind: [")?;
    undetermined(controller.port(), "the controller answers 503")
}

#[test]
fn a_controller_that_talks_nonsense_is_undetermined() -> Result<()> {
    let port = fake_controller(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnonsense")?;
    undetermined(port, "the controller's answer is not a node state")
}

#[test]
fn a_controller_that_tells_of_another_node_is_undetermined() -> Result<()> {
    let port = fake_controller(
        b"HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n{\"name\":\"node-b\",\"state\":\"ready\"}",
    )?;
    undetermined(port, "it is about \"node-b\", not about \"node-a\"")
}

#[test]
fn a_controller_that_hangs_is_undetermined() -> Result<()> {
    let port = fake_controller(b"")?;
    undetermined(port, "the controller")
}

#[test]
fn a_node_that_the_controller_never_saw_is_undetermined() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("node-b")])?;
    undetermined(controller.port(), "the controller does not know node node-a")
}

#[test]
fn without_a_controller_every_sigterm_means_a_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&Pod::new(&volume, "node-a", &["python3", "/programs/single.py"]))?;
    running.signal(Signal::SIGTERM)?;
    ends_with(&mut running, CHECKPOINTED, "no controller is configured")
}

#[test]
fn a_program_that_ends_while_the_decision_is_open_keeps_its_exit_status() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let pod = pod(&volume, &network, controller.port()).config("decisionTimeout: 20s\ngracePeriod: 60s");
    let pod = pod.with(|spec| {
        spec.command(
            &["crik", "run", "--"],
            &["sh", "-c", "trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done"],
        )
    });
    let mut running = pod.start()?;
    running.stdout.wait_for("up")?;
    running.signal(Signal::SIGTERM)?;
    running.send(Signal::SIGUSR1)?;
    ensure!(running.wait()? == 9, "{}", running.transcript());
    Ok(())
}
