//! A pod that is moved: its agent hears of the eviction that waits, takes a checkpoint after which the program stands still, and tells the
//! controller what happens. The controller here is a mock, which plays no more than that.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use crik_api::report::{Checkpointed, Occasion, POD_HEADER, Report, Resumed, What};
use crik_store::base::fault_points::HURRY_VARIABLE;
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::controller::mock_controller::{Answers, MockController, Sent};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, STEPS, ends_with, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// When the first eviction came.
const ASKED: &str = "2026-01-02T03:04:05.006Z";

/// The shortest grace period that a pod can have, in which nothing but its end has room.
const SHORTEST: Duration = Duration::from_secs(1);

/// What the agent of a test says when the program stands still.
const STANDS: &str = "the application stands still until its pod is ended";

/// A pod whose agent listens to a controller.
struct Scene {
    controller: MockController,
    volume: Volume,
    pod: Pod,
    _network: Network,
}

impl Scene {
    fn of(command: &[&str], config: &str) -> Result<Self> {
        let (controller, volume, network) = (MockController::start()?, Volume::new()?, Network::new()?);
        let pod = Pod::new(&volume, "node-a", command)
            .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port()))
            .config("nodeStateServerTokenFile: /var/run/crik/token\nclaimExpiry: 1s")
            .config(config)
            .secret("/var/run/crik", &[("token", "a token\n")])
            .network(&network);
        Ok(Self { controller, volume, pod, _network: network })
    }

    fn new(config: &str) -> Result<Self> {
        Self::of(&SINGLE, config)
    }

    /// With an agent for which a minute passes in six seconds.
    fn hurried(command: &[&str]) -> Result<Self> {
        let (scene, binary) = (Self::of(command, "")?, cargo_bin("crik-agent", "crik", &["fault-points"])?);
        Ok(Self { pod: scene.pod.binary(&binary).with(|spec| spec.env(HURRY_VARIABLE, "10")), ..scene })
    }

    /// Asks for the move, and waits until the program stands still after it.
    fn is_asked_to_move(&self, running: &Running) -> Result<Checkpointed> {
        self.controller.ask_to_move(ASKED);
        let told = self.controller.takes(1, "checkpointed", is_checkpointed).context(running.transcript())?;
        running.stderr.wait_for(STANDS)?;
        let What::Checkpointed(told) = told.what else { unreachable!("that was asked for") };
        Ok(told)
    }

    /// What was told since the beginning, in one word each.
    fn words(&self) -> Result<Vec<String>> {
        let word = |report: Report| {
            Ok(serde_json::to_value(&report.what)?["what"].as_str().unwrap_or_default().to_owned())
        };
        self.controller.taken().into_iter().map(word).collect()
    }
}

fn is_checkpointed(what: &What) -> bool {
    matches!(what, What::Checkpointed(_))
}

/// All processes of the program are stopped, and it writes nothing.
fn stands_still(running: &Running) -> Result<()> {
    let states: Vec<char> =
        running.processes().iter().filter(|one| one.pid >= 300).map(|one| one.state).collect();
    ensure!(!states.is_empty() && states.iter().all(|state| *state == 'T'), "{states:?}");
    let written = running.stdout.text();
    // Ten steps; the time is the case.
    thread::sleep(Duration::from_millis(100));
    ensure!(running.stdout.text() == written, "it goes on");
    Ok(())
}

/// The program makes progress.
fn goes_on(running: &Running) -> Result<()> {
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)
}

/// Ends the pod by a SIGTERM whose grace period is the shortest.
fn is_ended_at_once(running: &mut Running) -> Result<()> {
    let told = Instant::now();
    ends_with(running, CHECKPOINTED)?;
    println!("ended {:?} after the SIGTERM", told.elapsed());
    ensure!(told.elapsed() < SHORTEST, "it took {:?}\n{}", told.elapsed(), running.transcript());
    ensure!(!running.stdout.text().contains("goodbye"), "a SIGTERM came\n{}", running.transcript());
    Ok(())
}

#[test]
fn a_pod_that_is_moved_stands_still_after_its_checkpoint_and_ends_at_once() -> Result<()> {
    let scene = Scene::new("")?;
    let mut first = started(&scene.pod)?;
    let asked = Instant::now();
    let told = scene.is_asked_to_move(&first)?;
    println!("durable {:?} after the eviction", asked.elapsed());
    ensure!(told.generation == 1 && told.occasion == Occasion::Move, "{told:?}");
    ensure!(told.durable_seconds > 0.0 && told.frozen_seconds > 0.0, "{told:?}");
    ensure!(told.bytes >= told.stored_bytes && told.stored_bytes > 0 && told.new_bytes > 0, "{told:?}");
    stands_still(&first)?;
    let (code, _, said) = first.exec(&["crik", "checkpoint"])?;
    ensure!(code == Some(1) && said.contains("stands still after its checkpoint"), "{said}");
    let (_, said, _) = first.exec(&["crik", "doctor"])?;
    ensure!(said.contains("stands still after a checkpoint until its pod is ended"), "{said}");
    is_ended_at_once(&mut first)?;
    ensure!(scene.volume.generations("job-0").len() == 1, "{}", first.transcript());

    scene.controller.knows_the_next_pod();
    let second = started(&scene.pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first.stdout.text(), second.stdout.text()])?;
    is_told_of_the_move(&scene, &first, &second)
}

/// In their order, each once, by the pod itself.
fn is_told_of_the_move(scene: &Scene, first: &Running, second: &Running) -> Result<()> {
    let resumed = scene.controller.takes(1, "resumed", |what| matches!(what, What::Resumed(_)))?;
    ensure!(resumed.node == second.node().name, "{resumed:?}");
    let What::Resumed(Resumed { generation: 1, seconds, saved_seconds, from: Some(from), skipped }) =
        resumed.what
    else {
        bail!("{resumed:?}")
    };
    // The steps that it had made take a hundredth of a second each at least.
    ensure!(seconds > 0.0 && saved_seconds > 0.1 && skipped.is_empty(), "{seconds} {saved_seconds}");
    ensure!(from == first.node().name, "{from}");
    let words = scene.words()?;
    let of_the_first: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| *word != "examined").take(4).collect();
    ensure!(of_the_first == ["started-fresh", "move-begun", "checkpointed", "resumed"], "{words:?}");
    let begun = |what: &What| *what == What::MoveBegun { asked: ASKED.to_owned() };
    scene.controller.takes(1, "move-begun", begun)?;
    let by_others = |sent: &Sent| sent.pod != "default/job-0" || sent.authorization != "Bearer a token";
    ensure!(!scene.controller.sent().iter().any(by_others), "{:#?}", scene.controller.sent());
    Ok(())
}

#[test]
fn a_pod_that_nobody_ends_goes_on_without_a_gap_and_is_checkpointed_as_ever() -> Result<()> {
    let scene = Scene::hurried(&SINGLE)?;
    // However often it is told of the move, and by whom.
    scene.controller.insists();
    let mut first = started(&scene.pod)?;
    scene.is_asked_to_move(&first)?;
    stands_still(&first)?;
    scene.controller.takes(1, "stayed", |what| *what == What::Stayed)?;
    first.stderr.wait_for("nobody has ended the pod; the application goes on here")?;
    goes_on(&first)?;
    let begun = scene.words()?.iter().filter(|word| *word == "move-begun").count();
    ensure!(begun == 1, "{begun} checkpoints for one move\n{}", first.transcript());
    ensure!(scene.controller.questions().len() < 60, "{} questions", scene.controller.questions().len());
    ends_with(&mut first, CHECKPOINTED)?;
    let told = scene.controller.takes(2, "checkpointed", is_checkpointed)?;
    ensure!(
        matches!(told.what, What::Checkpointed(Checkpointed { generation: 2, occasion: Occasion::Stop, .. })),
        "{told:?}"
    );
    scene.controller.knows_the_next_pod();
    let second = started(&scene.pod)?;
    resumes(&second, 2)?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn what_a_program_appends_after_it_went_on_stands_there_once_also_if_its_pod_vanishes_then() -> Result<()> {
    let scene = Scene::hurried(&["python3", "/programs/output.py", "a", "/checkpoints/out"])?;
    let mut first = started(&scene.pod)?;
    scene.is_asked_to_move(&first)?;
    first.stderr.wait_for("nobody has ended the pod; the application goes on here")?;
    goes_on(&first)?;
    first.signal(Signal::SIGKILL)?;
    first.wait()?;
    scene.controller.knows_the_next_pod();
    // Its program ends if the file has more than what it wrote.
    let mut second = started(&scene.pod)?;
    resumes(&second, 1)?;
    chain::verify_repeated(&first.stdout.text(), &second.stdout.text())?;
    ends_with(&mut second, CHECKPOINTED)?;
    let out = fs::read_to_string(scene.volume.path().join("out"))?;
    let numbers = out.lines().map(|line| line.split(' ').next().unwrap_or_default().parse::<usize>());
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    ensure!(numbers.iter().copied().eq(1..=numbers.len()), "{numbers:?}");
    Ok(())
}

#[test]
fn a_program_whose_pod_is_ended_does_not_go_on_before_a_sigterm_that_comes_late() -> Result<()> {
    let scene = Scene::hurried(&SINGLE)?;
    let mut first = started(&scene.pod)?;
    scene.is_asked_to_move(&first)?;
    scene.controller.deletes_the_pod();
    ensure!(first.wait()? == CHECKPOINTED, "{}", first.transcript());
    first.stderr.wait_for("the pod is being ended, so the application ends before its SIGTERM")?;
    scene.controller.knows_the_next_pod();
    let second = started(&scene.pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn a_checkpoint_that_fails_costs_a_move_nothing_but_the_move() -> Result<()> {
    let scene = Scene::new("hooks: {preCheckpoint: {command: [/bin/false], onFailure: fail}}")?;
    let mut running = started(&scene.pod)?;
    scene.controller.ask_to_move(ASKED);
    let of_the_move = |what: &What| matches!(what, What::NotCheckpointed { occasion: Occasion::Move, why } if why.contains("preCheckpoint"));
    scene.controller.takes(1, "not-checkpointed", of_the_move)?;
    goes_on(&running)?;
    // A SIGTERM later is handled as always, and it is told that there is none either.
    ends_with(&mut running, 0)?;
    ensure!(running.stdout.text().ends_with("goodbye\n"), "{}", running.transcript());
    let of_the_stop = |what: &What| matches!(what, What::NotCheckpointed { occasion: Occasion::Stop, .. });
    scene.controller.takes(1, "not-checkpointed", of_the_stop).map(drop)
}

#[test]
fn a_pod_without_an_image_directory_says_that_it_cannot_be_moved() -> Result<()> {
    let scene = Scene::new("")?;
    let running = started(&scene.pod.set_config("imageDir:"))?;
    let is_told = |what: &What| matches!(what, What::Examined(told) if !told.protected && told.why.is_some());
    scene.controller.takes(1, "examined", is_told)?;
    scene.controller.ask_to_move(ASKED);
    let refused = |what: &What| matches!(what, What::NotCheckpointed { occasion: Occasion::Move, why } if why.contains("imageDir"));
    scene.controller.takes(1, "not-checkpointed", refused)?;
    goes_on(&running)
}

#[test]
fn what_ends_the_program_or_its_agent_while_it_stands_still_loses_nothing() -> Result<()> {
    let scene = Scene::new("")?;
    let mut first = started(&scene.pod)?;
    scene.is_asked_to_move(&first)?;
    first.signal(Signal::SIGKILL)?;
    first.wait()?;
    scene.controller.knows_the_next_pod();
    let mut second = started(&scene.pod)?;
    resumes(&second, 1)?;
    let (code, said, _) = second.exec(&["crik", "checkpoint", "--stay-stopped"])?;
    ensure!(code == Some(0) && said.contains("generation 2 is durable"), "{said}");
    ensure!(said.contains("stands still until its pod is deleted") && said.contains("within 60s"), "{said}");
    stands_still(&second)?;
    let program = second.processes().into_iter().filter(|one| one.pid >= 300);
    let root = program.min_by_key(|one| one.pid).context("no program")?;
    kill(Pid::from_raw(root.host_pid), Signal::SIGKILL)?;
    ensure!(second.wait()? == CHECKPOINTED, "{}", second.transcript());
    let third = started(&scene.pod)?;
    resumes(&third, 2)?;
    chain::verify(&[first.stdout.text(), second.stdout.text(), third.stdout.text()]).map(drop)
}

#[test]
fn a_program_that_stands_still_anyway_has_the_checkpoint_of_an_eviction_that_comes() -> Result<()> {
    let scene = Scene::new("")?;
    let mut running = started(&scene.pod)?;
    let (code, said, _) = running.exec(&["crik", "checkpoint", "--stay-stopped", "--output", "json"])?;
    let told: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(code == Some(0) && told["generation"] == 1 && told["standsStillMs"] == 60_000, "{said}");
    scene.controller.ask_to_move(ASKED);
    let told = scene.controller.takes(2, "checkpointed", is_checkpointed)?;
    ensure!(
        matches!(told.what, What::Checkpointed(Checkpointed { generation: 1, occasion: Occasion::Move, .. })),
        "{told:?}"
    );
    is_ended_at_once(&mut running)?;
    ensure!(scene.volume.generations("job-0").len() == 1, "{}", running.transcript());
    scene.controller.knows_the_next_pod();
    let (code, _, said) =
        started(&scene.pod)?.exec(&["crik", "checkpoint", "--stay-stopped", "--leave-running"])?;
    ensure!(code == Some(2) && said.contains("cannot be used with"), "{code:?} {said}");
    Ok(())
}

#[test]
fn signals_that_come_while_it_stands_still_are_kept_for_the_program() -> Result<()> {
    let scene = Scene::hurried(&["python3", "/programs/signals.py"])?;
    let mut running = scene.pod.start()?;
    running.stdout.wait_for("listening")?;
    scene.is_asked_to_move(&running)?;
    for signal in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGUSR1] {
        running.send(signal)?;
    }
    stands_still(&running)?;
    running.stdout.wait_for("got SIGUSR1")?;
    running.stdout.wait_for("got SIGHUP")?;
    let got = running.stdout.text().matches("got ").count();
    ensure!(got == 2, "each counts once, as if it were pending\n{}", running.transcript());
    ends_with(&mut running, CHECKPOINTED)
}

/// Reports that are taken have numbers that grow.
fn are_in_order(reports: &[Report]) -> Result<()> {
    let numbers: Vec<u64> = reports.iter().map(|report| report.id.number).collect();
    ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    Ok(())
}

#[test]
fn reports_come_in_order_and_once_each_whatever_the_controller_does_meanwhile() -> Result<()> {
    let scene = Scene::new("")?;
    let controller = &scene.controller;
    controller.answers(Answers::Refuses(503));
    let running = started(&scene.pod)?;
    wait_for("a report to be tried again", || (controller.sent().len() >= 2).then_some(()))?;
    let [first, again] = [0, 1].map(|place| controller.sent()[place].report.clone());
    ensure!(
        first.id == again.id && first.id.number == 1 && first.seconds_ago < again.seconds_ago,
        "{again:?}"
    );
    controller.answers(Answers::Takes);
    controller.takes(1, "started-fresh", |what| matches!(what, What::StartedFresh { why: None }))?;

    let is_protected = |what: &What| matches!(what, What::Examined(told) if told.protected);
    controller.takes(1, "examined", is_protected)?;
    controller.answers(Answers::Hangs);
    let before = controller.sent().len();
    leaves_running(&running)?;
    wait_for("a report without an answer", || (controller.sent().len() > before).then_some(()))?;
    controller.go_away();
    leaves_running(&running)?;
    controller.answers(Answers::Takes);
    controller.come_back()?;
    controller.takes(2, "checkpointed", is_checkpointed)?;
    are_in_order(&controller.taken())?;
    let words = scene.words()?;
    ensure!(words == ["started-fresh", "examined", "checkpointed", "checkpointed"], "{words:?}");
    goes_on(&running)
}

fn leaves_running(running: &Running) -> Result<()> {
    let (code, out, err) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{out}{err}\n{}", running.transcript());
    Ok(())
}

#[test]
fn a_controller_that_takes_no_reports_is_told_of_once_and_left_alone() -> Result<()> {
    let scene = Scene::new("")?;
    scene.controller.answers(Answers::Refuses(404));
    let mut running = started(&scene.pod)?;
    running.stderr.wait_for("the controller takes no reports of programs")?;
    leaves_running(&running)?;
    leaves_running(&running)?;
    goes_on(&running)?;
    ends_with(&mut running, CHECKPOINTED)?;
    ensure!(running.stderr.text().matches("takes no reports").count() == 1, "{}", running.transcript());
    ensure!(scene.controller.sent().len() == 1, "{:#?}", scene.controller.sent());
    Ok(())
}

#[test]
fn without_a_token_the_pod_is_named_and_nothing_is_told_of_it() -> Result<()> {
    let scene = Scene::new("")?;
    let mut running = started(&scene.pod.set_config("nodeStateServerTokenFile:"))?;
    running.stderr.wait_for("protected: ")?;
    leaves_running(&running)?;
    ends_with(&mut running, CHECKPOINTED)?;
    ensure!(scene.controller.sent().is_empty(), "{:#?}", scene.controller.sent());
    let named = |question: &BTreeMap<String, String>| {
        question.get(POD_HEADER).is_some_and(|pod| pod == "default/job-0")
    };
    ensure!(scene.controller.questions().iter().all(named), "{:#?}", scene.controller.questions());
    Ok(())
}

#[test]
fn a_stop_waits_no_longer_than_a_moment_for_a_controller_that_hangs() -> Result<()> {
    let scene = Scene::new("")?;
    scene.controller.answers(Answers::Hangs);
    let mut running = started(&scene.pod)?;
    running.signal(Signal::SIGTERM)?;
    running.stderr.wait_for("generation 00000001 is durable")?;
    let durable = Instant::now();
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    println!("ended {:?} after its checkpoint", durable.elapsed());
    // An answer to a report would be waited for three seconds.
    ensure!(durable.elapsed() < 2 * SHORTEST, "{:?}\n{}", durable.elapsed(), running.transcript());
    resumes(&started(&scene.pod)?, 1)
}
