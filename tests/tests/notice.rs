//! `actOn: notice`: a checkpoint begins when the node's state says so, since on some clouds no SIGTERM ever comes.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crik_api::NodeState;
use crik_tests::chain;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, STEPS, ends_with, resumes, started, stops_in_order};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// A pod on `node-a` and the controller that it listens to.
struct Scene {
    controller: Controller,
    pod: Pod,
    volume: Volume,
    _network: Network,
}

fn ready() -> TestNode {
    TestNode::ready("node-a")
}

fn draining() -> TestNode {
    ready().tainted("ToBeDeletedByClusterAutoscaler", "NoSchedule")
}

fn scene(config: &str) -> Result<Scene> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[ready()])?;
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port()))
        .config(config)
        .network(&network)
        .same_node_name();
    Ok(Scene { controller, pod, volume, _network: network })
}

impl Scene {
    /// The node shows this, and the controller knows.
    fn shows(&self, node: TestNode, state: NodeState) -> Result<()> {
        self.controller.set_nodes(&[node])?;
        self.controller.becomes("node-a", state)
    }
}

/// Waits for the end that a checkpoint at a notice is.
fn checkpointed(running: &mut Running, state: &str) -> Result<()> {
    let code = running.wait()?;
    ensure!(code == CHECKPOINTED, "exit code {code}\n{}", running.transcript());
    ensure!(!running.stdout.text().contains("goodbye"), "a SIGTERM came\n{}", running.transcript());
    running.stderr.wait_for(&format!("a checkpoint is taken without a SIGTERM: node node-a is {state}"))
}

/// Expects that the program makes progress.
fn goes_on(running: &Running) -> Result<()> {
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)
}

#[test]
fn a_node_that_goes_away_is_reason_enough() -> Result<()> {
    let scene = scene("actOn: notice")?;
    let mut first = started(&scene.pod)?;
    scene.shows(ready().shutting_down(), NodeState::ShuttingDown)?;
    checkpointed(&mut first, "shutting-down")?;
    let second = started(&scene.pod.replacement_on(first.node().another()?))?;
    resumes(&second, 1)?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn by_default_a_sigterm_is_waited_for() -> Result<()> {
    let scene = scene("")?;
    let mut running = started(&scene.pod)?;
    scene.shows(ready().shutting_down(), NodeState::ShuttingDown)?;
    running.stderr.wait_for("node state changed state=shutting-down")?;
    goes_on(&running)?;
    ends_with(&mut running, CHECKPOINTED)?;
    ensure!(!running.stderr.text().contains("without a SIGTERM"));
    Ok(())
}

#[test]
fn a_node_that_is_cordoned_may_live_for_days() -> Result<()> {
    let scene = scene("actOn: notice")?;
    let mut running = started(&scene.pod)?;
    scene.shows(ready().cordoned(), NodeState::Cordoned)?;
    running.stderr.wait_for("node state changed state=cordoned")?;
    goes_on(&running)?;
    // But a SIGTERM there means a checkpoint, as ever.
    ends_with(&mut running, CHECKPOINTED)?;
    running.stderr.wait_for("a checkpoint is taken: node node-a is cordoned")
}

#[test]
fn a_container_that_starts_again_in_its_place_does_not_go_round_in_circles() -> Result<()> {
    let scene = scene("actOn: notice")?;
    let mut first = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    checkpointed(&mut first, "draining")?;
    // The kubelet starts the container again: the pod was not evicted yet.
    let mut second = started(&scene.pod)?;
    resumes(&second, 1)?;
    second.stderr.wait_for("as it was before the start; the application goes on here")?;
    goes_on(&second)?;
    // Worse is news.
    scene.shows(draining().shutting_down(), NodeState::ShuttingDown)?;
    checkpointed(&mut second, "shutting-down")?;
    let mut third = started(&scene.pod)?;
    resumes(&third, 2)?;
    goes_on(&third)?;
    ends_with(&mut third, CHECKPOINTED)?;
    chain::verify(&[first.stdout.text(), second.stdout.text(), third.stdout.text()]).map(drop)
}

#[test]
fn a_drain_that_is_taken_back_can_come_again() -> Result<()> {
    let scene = scene("actOn: notice")?;
    let mut first = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    checkpointed(&mut first, "draining")?;
    let mut second = started(&scene.pod)?;
    second.stderr.wait_for("the application goes on here")?;
    scene.shows(ready(), NodeState::Ready)?;
    second.stderr.wait_for("node state changed state=ready")?;
    goes_on(&second)?;
    scene.shows(draining(), NodeState::Draining)?;
    checkpointed(&mut second, "draining")
}

#[test]
fn a_controller_that_has_lost_its_source_gives_no_notice() -> Result<()> {
    let scene = scene("actOn: notice")?;
    scene.shows(draining(), NodeState::Draining)?;
    scene.controller.set_text("kind: [")?;
    wait_for("the state to be stale", || {
        scene.controller.status("node-a").is_ok_and(|status| status.stale).then_some(())
    })?;
    let mut running = started(&scene.pod.clone().config("onUnknown: terminate"))?;
    goes_on(&running)?;
    scene.shows(draining(), NodeState::Draining)?;
    checkpointed(&mut running, "draining")
}

/// Lets the first checkpoint fail, and tells when it is tried.
const FAILS_ONCE: &str = "actOn: notice
hooks: {preCheckpoint: {onFailure: fail, command: [/bin/sh, -c, 'test -e /checkpoints/tried || { touch /checkpoints/tried; exit 3; }']}}";

#[test]
fn a_checkpoint_that_fails_harms_nothing_and_is_tried_again() -> Result<()> {
    let scene = scene(FAILS_ONCE)?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    running.stderr.wait_for("no checkpoint; the application goes on")?;
    let failed = Instant::now();
    running.stderr.wait_for("the checkpoint is tried again in 5s if the node is still draining")?;
    goes_on(&running)?;
    checkpointed(&mut running, "draining")?;
    println!("tried again after {:?}", failed.elapsed());
    ensure!(failed.elapsed() > Duration::from_secs(4), "without a pause");
    Ok(())
}

#[test]
fn a_state_that_gets_worse_is_not_waited_with() -> Result<()> {
    let scene = scene(FAILS_ONCE)?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    running.stderr.wait_for("is tried again in 5s")?;
    let failed = Instant::now();
    scene.shows(draining().shutting_down(), NodeState::ShuttingDown)?;
    checkpointed(&mut running, "shutting-down")?;
    ensure!(failed.elapsed() < Duration::from_secs(4), "it waited");
    Ok(())
}

#[test]
fn a_notice_that_is_taken_back_is_not_acted_on_later() -> Result<()> {
    let scene = scene(FAILS_ONCE)?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    running.stderr.wait_for("is tried again in 5s")?;
    scene.shows(ready(), NodeState::Ready)?;
    running.stderr.wait_for("node state changed state=ready")?;
    // Longer than the pause; the time is the case.
    std::thread::sleep(Duration::from_secs(6));
    goes_on(&running)?;
    ensure!(scene.volume.generations("job-0").is_empty(), "{}", running.transcript());
    stops_in_order(&mut running, 0)
}

#[test]
fn another_notice_after_one_that_was_taken_back_is_not_waited_with() -> Result<()> {
    let scene = scene(FAILS_ONCE)?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    running.stderr.wait_for("is tried again in 5s")?;
    let failed = Instant::now();
    scene.shows(ready(), NodeState::Ready)?;
    running.stderr.wait_for("node state changed state=ready")?;
    scene.shows(draining(), NodeState::Draining)?;
    checkpointed(&mut running, "draining")?;
    ensure!(failed.elapsed() < Duration::from_secs(4), "it waited");
    Ok(())
}

/// A checkpoint that goes on for as long as there is no file `go`, and then works or fails.
fn held(outcome: &str) -> String {
    format!(
        "actOn: notice\ngracePeriod: 40s\nhooks: {{preCheckpoint: {{onFailure: fail, timeout: 20s, command: [/bin/sh, -c, \
         'echo > /checkpoints/begun; while ! test -e /checkpoints/go; do sleep 0.05; done; {outcome}']}}}}"
    )
}

fn begun(scene: &Scene) -> Result<()> {
    let begun = scene.volume.path().join("begun");
    wait_for("the checkpoint to begin", || begun.exists().then_some(()))
}

#[test]
fn a_sigterm_in_the_middle_of_the_checkpoint_changes_nothing() -> Result<()> {
    let scene = scene(&held("exit 0"))?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    begun(&scene)?;
    running.signal(Signal::SIGTERM)?;
    fs::write(scene.volume.path().join("go"), "")?;
    checkpointed(&mut running, "draining")?;
    ensure!(scene.volume.generations("job-0").len() == 1);
    resumes(&started(&scene.pod)?, 1)
}

#[test]
fn a_sigterm_in_the_middle_of_a_checkpoint_that_fails_reaches_the_application() -> Result<()> {
    let scene = scene(&held("exit 3"))?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    begun(&scene)?;
    let told = Instant::now();
    running.signal(Signal::SIGTERM)?;
    fs::write(scene.volume.path().join("go"), "")?;
    let code = running.wait()?;
    println!("the application ended {:?} after the SIGTERM", told.elapsed());
    ensure!(code == 0 && running.stdout.text().ends_with("goodbye\n"), "{code}\n{}", running.transcript());
    Ok(())
}

#[test]
fn a_signal_that_comes_in_the_middle_of_a_checkpoint_that_fails_is_passed_on() -> Result<()> {
    let scene = scene(&held("exit 3"))?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    begun(&scene)?;
    running.signal(Signal::SIGUSR2)?;
    fs::write(scene.volume.path().join("go"), "")?;
    let code = running.wait()?;
    ensure!(code == 128 + Signal::SIGUSR2 as i32, "{code}\n{}", running.transcript());
    Ok(())
}

#[test]
fn a_sigterm_after_a_checkpoint_that_failed_works_as_ever() -> Result<()> {
    let scene = scene(FAILS_ONCE)?;
    let mut running = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    running.stderr.wait_for("is tried again in 5s")?;
    ends_with(&mut running, CHECKPOINTED)?;
    running.stderr.wait_for("a checkpoint is taken: node node-a is draining")?;
    resumes(&started(&scene.pod)?, 1)
}

#[test]
fn who_starts_fresh_since_nothing_could_be_resumed_goes_on_until_there_is_more() -> Result<()> {
    let scene = scene("actOn: notice")?;
    let mut first = started(&scene.pod)?;
    scene.shows(draining(), NodeState::Draining)?;
    checkpointed(&mut first, "draining")?;
    fs::write(scene.volume.newest("job-0")?.join("manifest.json"), "{")?;
    let mut second = started(&scene.pod)?;
    second.stderr.wait_for("nothing could be resumed; the application starts fresh")?;
    second.stderr.wait_for("as it was before the start; the application goes on here")?;
    goes_on(&second)?;
    scene.shows(draining().shutting_down(), NodeState::ShuttingDown)?;
    checkpointed(&mut second, "shutting-down")
}

#[test]
fn a_checkpoint_after_which_the_application_went_on_says_nothing_of_the_node() -> Result<()> {
    let scene = scene("actOn: notice")?;
    let mut first = started(&scene.pod)?;
    let (code, _, said) = first.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{said}");
    first.signal(Signal::SIGKILL)?;
    first.wait()?;
    scene.shows(draining(), NodeState::Draining)?;
    let mut second = scene.pod.start()?;
    resumes(&second, 1)?;
    checkpointed(&mut second, "draining")?;
    let third = started(&scene.pod)?;
    resumes(&third, 2)?;
    third.stderr.wait_for("the application goes on here")?;
    goes_on(&third)
}
