//! Several replicas of the controller behind one name: one that is dying must not decide, nor hold a decision up.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::replicas::Replica::{Dead, Hangs, Refuses, Serves};
use crik_tests::replicas::{Replica, Replicas};
use crik_tests::story::{CHECKPOINTED, SINGLE, started};
use crik_tests::volume::Volume;
use crik_tests::wait::{PATIENCE, wait_for};

const STOPPED: i32 = 7;

/// A pod on `node-a` that knows the replicas by their name.
struct Scene {
    pod: Pod,
    replicas: Replicas,
    _network: Network,
    _volume: Volume,
}

fn scene(replicas: &[Replica]) -> Result<Scene> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let replicas = Replicas::new(&network, replicas)?;
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .config(&format!("nodeStateServerURL: {}", replicas.url("http")))
        .hosts(&replicas.hosts())
        .network(&network)
        .same_node_name()
        .with(|spec| spec.env("GOODBYE", &STOPPED.to_string()));
    Ok(Scene { pod, replicas, _network: network, _volume: volume })
}

fn stops(running: &mut Running, expected: i32, because: &str) -> Result<Duration> {
    let code = running.stop()?;
    ensure!(code == expected, "exit code {code}, not {expected}\n{}", running.transcript());
    running.stderr.wait_for(because).with_context(|| running.transcript())?;
    let log = running.stderr.text();
    let line = log.lines().find(|line| line.contains("step=\"decide\"")).context("no decision")?;
    let (_, rest) = line.split_once(" ms=").context("no duration")?;
    Ok(Duration::from_millis(rest.split_whitespace().next().context("no number")?.parse()?))
}

#[test]
fn one_replica_that_answers_is_enough() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("node-a").shutting_down()])?;
    let scene = scene(&[Dead, Refuses, Hangs, Serves(controller.port())])?;
    // Whichever is asked first.
    for _ in 0..4 {
        let mut running = started(&scene.pod)?;
        let took = stops(&mut running, CHECKPOINTED, "node node-a is shutting-down (kubelet-shutdown)")?;
        println!("decided in {took:?} with three of four replicas out of order");
        // A time-out of any of the three is longer, to say nothing of decisionTimeout.
        ensure!(took < Duration::from_millis(300), "{took:?}\n{}", running.transcript());
    }
    Ok(())
}

#[test]
fn a_node_that_is_ready_is_believed_to_the_one_that_answers() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let scene = scene(&[Hangs, Dead, Serves(controller.port()), Refuses])?;
    stops(&mut started(&scene.pod)?, STOPPED, "the application is told to stop: node node-a is ready")
        .map(drop)
}

#[test]
fn who_sees_the_node_counts_and_not_who_lost_it_or_never_saw_it() -> Result<()> {
    let sees = Controller::start(&[TestNode::ready("node-a")])?;
    let lost = Controller::start(&[TestNode::ready("node-a")])?;
    let never = Controller::start(&[TestNode::ready("node-b")])?;
    lost.set_text("kind: [")?;
    wait_for("a replica to be stale", || {
        lost.status("node-a").is_ok_and(|status| status.stale).then_some(())
    })?;
    let scene = scene(&[Serves(lost.port()), Serves(sees.port()), Serves(never.port())])?;
    // Otherwise onUnknown would decide, for a checkpoint.
    stops(&mut started(&scene.pod)?, STOPPED, "the application is told to stop: node node-a is ready")
        .map(drop)
}

#[test]
fn nobody_who_answers_is_undetermined_and_takes_no_longer() -> Result<()> {
    let scene = scene(&[Dead, Hangs, Refuses])?;
    let took = stops(&mut started(&scene.pod)?, CHECKPOINTED, "onUnknown is checkpoint")?;
    ensure!(took >= Duration::from_millis(1950) && took < Duration::from_secs(3), "{took:?}");
    Ok(())
}

#[test]
fn a_name_without_an_address_is_named() -> Result<()> {
    let scene = scene(&[])?;
    let mut running = started(&scene.pod)?;
    running.stderr.wait_for("the node's state is not known: the controller does not answer")?;
    running.stderr.wait_for("crik-controller.crik has no address")?;
    running.stderr.wait_for("; until it is, onUnknown decides what a stop means")?;
    stops(&mut running, CHECKPOINTED, "has no address").map(drop)
}

#[test]
fn the_node_is_followed_from_replica_to_replica() -> Result<()> {
    let (first, second) =
        (Controller::start(&[TestNode::ready("node-a")])?, Controller::start(&[TestNode::ready("node-a")])?);
    let mut scene = scene(&[Serves(first.port()), Dead, Serves(second.port()), Hangs])?;
    let mut running = started(&scene.pod.clone().config("actOn: notice"))?;
    let followed = wait_for("a replica to be asked", || {
        [0, 1].into_iter().find(|n| scene.replicas.connections(*n) > 0)
    })?;
    // The pod's replica dies, and only then does its node begin to.
    scene.replicas.end(followed);
    let node = [TestNode::ready("node-a").shutting_down()];
    first.set_nodes(&node)?;
    second.set_nodes(&node)?;
    let code = running.wait()?;
    ensure!(code == CHECKPOINTED, "{code}\n{}", running.transcript());
    running.stderr.wait_for("a checkpoint is taken without a SIGTERM: node node-a is shutting-down")
}

#[test]
fn the_addresses_that_were_known_are_asked_when_the_resolver_is_gone() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("node-a").shutting_down()])?;
    let scene = scene(&[Serves(controller.port())])?;
    let mut running = started(&scene.pod.clone().config("onUnknown: terminate"))?;
    wait_for("the controller to be asked", || (scene.replicas.connections(0) > 0).then_some(()))?;
    let (code, _, said) = running.exec(&["sh", "-c", "> /etc/hosts"])?;
    ensure!(code == Some(0), "{said}");
    stops(&mut running, CHECKPOINTED, "node node-a is shutting-down").map(drop)
}

#[test]
fn who_is_sent_away_does_not_come_back_before_the_time() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let (tell, asked) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let body = "{\"error\":\"too many polls wait\"}";
            let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if tell.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let scene = scene(&[Serves(port)])?;
    let running = started(&scene.pod)?;
    let (first, second) = (asked.recv_timeout(PATIENCE)?, asked.recv_timeout(PATIENCE)?);
    println!("asked again after {:?}", second - first);
    ensure!(second - first >= Duration::from_secs(2), "{:?}", second - first);
    running.stderr.wait_for("answers 429 Too Many Requests: too many polls wait; it is asked again")
}

#[test]
fn pods_spread_over_the_replicas() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let port = controller.port();
    let scene = scene(&[Serves(port), Serves(port)])?;
    // Each begins with either; sixteen that all begin with the same would be one in 32,768.
    let mut asked = [false; 2];
    for _ in 0..16 {
        let before = [0, 1].map(|n| scene.replicas.connections(n));
        let running = scene.pod.start()?;
        wait_for("a replica to be asked", || {
            let now = [0, 1].map(|n| scene.replicas.connections(n));
            let more = [0, 1].into_iter().find(|n| now[*n] > before[*n])?;
            asked[more] = true;
            Some(())
        })?;
        drop(running);
        if asked == [true; 2] {
            return Ok(());
        }
    }
    anyhow::bail!("only one of two replicas is asked")
}

/// Two replicas that take turns behind one address: each answers at once, since it knows nothing of the other's versions.
fn in_turn() -> Result<(u16, Receiver<Instant>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let (tell, asked) = channel();
    thread::spawn(move || {
        for (number, mut stream) in (0..).zip(listener.incoming().flatten()) {
            let _ = stream.read(&mut [0; 4096]);
            let version = if number % 2 == 0 { "one-1" } else { "other-1" };
            let body = format!("{{\"name\":\"node-a\",\"state\":\"ready\",\"version\":\"{version}\"}}");
            let head = "HTTP/1.1 200 OK\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if tell.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    Ok((port, asked))
}

#[test]
fn replicas_that_take_turns_behind_one_address_are_not_asked_without_end() -> Result<()> {
    let (port, asked) = in_turn()?;
    let scene = scene(&[Serves(port)])?;
    let mut running = started(&scene.pod)?;
    let first = asked.recv_timeout(PATIENCE)?;
    let mut fifth = first;
    for _ in 0..4 {
        fifth = asked.recv_timeout(PATIENCE)?;
    }
    println!("asked five times within {:?}", fifth - first);
    // At once, and then after 200, 400 and 800 ms.
    ensure!(fifth - first >= Duration::from_millis(1_300), "{:?}", fifth - first);
    let before = asked.try_iter().count();
    let took = stops(&mut running, STOPPED, "the application is told to stop: node node-a is ready")?;
    let count = asked.try_iter().count();
    println!("asked {count} times, after {before} more, in a decision of {took:?}");
    // For the node every 200 ms, and for the pod every 500 ms.
    ensure!((2..=20).contains(&count), "asked {count} times in {took:?}");
    Ok(())
}
