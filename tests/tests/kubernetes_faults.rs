//! What happens between the controller and the API server: whatever it is, a state is right or is marked as stale.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_api::{NodeState, NodeStatus};
use crik_tests::control_plane::watched::{NOTICED_WITHIN, Watched};
use crik_tests::control_plane::{ControlPlane, PatchKind};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::get;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::json;

#[test]
fn an_api_server_that_is_killed_makes_states_stale_until_it_is_back() -> Result<()> {
    let mut watched = Watched::new()?;
    watched.plane.kill_server();
    watched.is_stale()?;
    let status = watched.controller.status("a")?;
    let reasons: Vec<&str> = status.reasons.iter().map(|reason| &*reason.signal).collect();
    ensure!((status.state, &reasons[..]) == (NodeState::Unknown, &["source-lost"]), "{status:?}");
    watched.still_ready()?;
    watched.plane.restart_server()?;
    watched.plane.kubectl(&["cordon", "a"])?;
    watched.is_fresh("a", NodeState::Cordoned)
}

#[test]
fn a_poll_that_waits_when_the_api_server_is_lost_is_told() -> Result<()> {
    let mut watched = Watched::new()?;
    let since = watched.controller.status("a")?.version;
    let url = watched.controller.url(&format!("/v1/nodes/a?wait=60s&since={since}"));
    let poll = thread::spawn(move || get(&url));
    watched.plane.kill_server();
    let answer = poll.join().map_err(|_| anyhow::anyhow!("the poll panicked"))??;
    ensure!(answer.json()["stale"] == true, "{}", answer.body);
    Ok(())
}

#[test]
fn a_connection_that_goes_silent_is_noticed_in_time() -> Result<()> {
    let watched = Watched::new()?;
    watched.wire.cut();
    let began = Instant::now();
    watched.plane.kubectl(&["cordon", "a"])?;
    watched.is_stale()?;
    let noticed = began.elapsed();
    watched.still_ready()?;
    watched.wire.mend();
    watched.is_fresh("a", NodeState::Cordoned)?;
    eprintln!("a silent connection was noticed after {noticed:.1?} and mended after {:.1?}", began.elapsed());
    // The timers of a busy machine are late by less than this.
    ensure!(noticed < NOTICED_WITHIN + Duration::from_secs(2), "noticed after {noticed:?}");
    Ok(())
}

#[test]
fn an_api_server_that_hangs_is_noticed_in_time() -> Result<()> {
    let watched = Watched::new()?;
    watched.plane.server().signal(Signal::SIGSTOP)?;
    let began = Instant::now();
    let noticed = watched.is_stale().map(|()| began.elapsed());
    watched.plane.server().signal(Signal::SIGCONT)?;
    let noticed = noticed?;
    eprintln!("an API server that hangs was noticed after {noticed:.1?}");
    ensure!(noticed < NOTICED_WITHIN + Duration::from_secs(2), "noticed after {noticed:?}");
    watched.is_fresh("a", NodeState::Ready)
}

/// Longer than an API server takes that is rolled, and shorter than the grace that a loss has before it is told.
const MOMENT: Duration = Duration::from_secs(2);

/// That nothing is told to one who waits when something is away for a moment.
fn nothing_is_old_after_a_moment(
    take: impl Fn(&Watched) -> Result<()>,
    give_back: impl Fn(&Watched) -> Result<()>,
) -> Result<()> {
    let watched = Watched::new()?;
    let since = watched.controller.status("a")?.version;
    let url = watched.controller.url(&format!("/v1/nodes/a?wait=20s&since={since}"));
    let poll = thread::spawn(move || get(&url));
    // Several times, since it depends on when it is asked again.
    for _ in 0..3 {
        take(&watched)?;
        thread::sleep(MOMENT);
        give_back(&watched)?;
        thread::sleep(MOMENT);
    }
    let answer = poll.join().map_err(|_| anyhow::anyhow!("the poll panicked"))??;
    ensure!(answer.json()["version"] == since.as_str(), "{}\n{}", answer.body, watched.controller.log());
    Ok(())
}

#[test]
fn connections_that_are_cut_for_a_moment_make_nothing_old() -> Result<()> {
    let cut = |watched: &Watched| {
        watched.wire.reset();
        Ok(())
    };
    let mend = |watched: &Watched| {
        watched.wire.mend();
        Ok(())
    };
    nothing_is_old_after_a_moment(cut, mend)
}

#[test]
fn an_api_server_that_stands_still_for_a_moment_makes_nothing_old() -> Result<()> {
    let stops = |watched: &Watched| watched.plane.server().signal(Signal::SIGSTOP);
    nothing_is_old_after_a_moment(stops, |watched| watched.plane.server().signal(Signal::SIGCONT))
}

#[test]
fn a_quiet_cluster_is_not_stale() -> Result<()> {
    let watched = Watched::new()?;
    let since = watched.controller.status("a")?.version;
    // Longer than a dead connection may go unnoticed: what finds it must not take quiet for death.
    let wait = NOTICED_WITHIN + Duration::from_secs(5);
    let url = watched.controller.url(&format!("/v1/nodes/a?wait={}s&since={since}", wait.as_secs()));
    let answer = get(&url)?;
    ensure!(answer.json()["version"] == since.as_str(), "{}\n{}", answer.body, watched.controller.log());
    Ok(())
}

#[test]
fn history_that_is_compacted_away_is_made_up_for_by_a_list() -> Result<()> {
    let mut watched = Watched::new()?;
    watched.plane.create_node(&TestNode::ready("deleted"))?;
    watched.plane.create_node(&TestNode::ready("off"))?;
    watched.is_fresh("off", NodeState::Ready)?;
    watched.wire.reset();
    watched.is_stale()?;
    watched.plane.kubectl(&["cordon", "a"])?;
    watched.plane.shut_down("off")?;
    watched.plane.api().delete("/api/v1/nodes/deleted")?;
    watched.plane.create_node(&TestNode::ready("new"))?;
    watched.plane.etcd().compact()?;
    // What the API server has in its cache it would still tell.
    watched.plane.restart_server()?;
    let seen = mend_and_look(&watched, &["a", "off", "deleted"])?;
    // The premise: the API server did say 410.
    watched.controller.logs("changes were missed, so all nodes are listed again")?;
    let wrong = |status: &&NodeStatus| !status.stale && status.state == NodeState::Ready;
    ensure!(!seen.iter().any(|status| wrong(&status)), "an old state was told as a fresh one: {seen:?}");
    for (name, state) in [
        ("a", NodeState::Cordoned),
        ("off", NodeState::ShuttingDown),
        ("deleted", NodeState::Gone),
        ("new", NodeState::Ready),
    ] {
        watched.is_fresh(name, state)?;
    }
    Ok(())
}

/// Mends the wire, and collects what is told of these nodes until none is stale any more.
fn mend_and_look(watched: &Watched, names: &[&str]) -> Result<Vec<NodeStatus>> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let look = || {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                seen.extend(names.iter().filter_map(|name| watched.controller.status(name).ok()));
            }
            seen
        };
        let looking = scope.spawn(look);
        watched.wire.mend();
        let mended = wait_for("the states to be fresh", || {
            watched.controller.status("a").is_ok_and(|a| !a.stale).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        let seen = looking.join().map_err(|_| anyhow::anyhow!("the look panicked"))?;
        mended.with_context(|| watched.controller.log())?;
        ensure!(!seen.is_empty(), "nothing was seen");
        Ok(seen)
    })
}

#[test]
fn a_controller_that_is_killed_in_the_middle_of_a_shutdown_knows_it_again() -> Result<()> {
    let mut watched = Watched::new()?;
    watched.plane.shut_down("a")?;
    watched.is_fresh("a", NodeState::ShuttingDown)?;
    watched.controller.restart()?;
    watched.is_fresh("a", NodeState::ShuttingDown)?;
    // From here on only the latch tells: the node controller has overwritten what the kubelet said.
    watched.plane.silence("a")?;
    watched.plane.api().patch(
        "/api/v1/nodes/a",
        PatchKind::Merge,
        &json!({"metadata": {"labels": {"seen": "yes"}}}),
    )?;
    watched.plane.create_node(&TestNode::ready("b"))?;
    watched.is_fresh("b", NodeState::Ready)?;
    ensure!(watched.controller.status("a")?.state == NodeState::ShuttingDown);
    Ok(())
}

#[test]
fn a_controller_that_is_told_to_stop_while_the_api_server_hangs_stops() -> Result<()> {
    let mut watched = Watched::new()?;
    watched.wire.cut();
    watched.controller.terminate()?;
    ensure!(watched.controller.wait()?.success(), "{}", watched.controller.log());
    Ok(())
}

#[test]
fn a_right_that_is_missing_is_named() -> Result<()> {
    let plane = ControlPlane::start()?;
    let account = plane.create_controllers_identity()?;
    let kubeconfig = plane.kubeconfig_of(account)?;
    for (verbs, missing) in [(json!(["get", "watch"]), "list"), (json!(["get", "list"]), "watch")] {
        plane.set_controllers_verbs(&verbs)?;
        let controller = Controller::trying_to_watch(&kubeconfig, &[])?;
        let says =
            |line: &str| line.contains("nodes") && line.contains(&format!("cannot {missing} resource"));
        wait_for(&format!("a message that names {missing}"), || {
            controller.log().lines().any(says).then_some(())
        })
        .with_context(|| controller.log())?;
    }
    Ok(())
}

#[test]
fn a_right_that_is_given_later_is_used_without_a_restart() -> Result<()> {
    let plane = ControlPlane::start()?;
    plane.create_node(&TestNode::ready("a"))?;
    let account = plane.create_controllers_identity()?;
    plane.set_controllers_verbs(&json!([]))?;
    let controller = Controller::trying_to_watch(&plane.kubeconfig_of(account)?, &[])?;
    wait_for("the refusal", || controller.log().contains("cannot list").then_some(()))
        .with_context(|| controller.log())?;
    ensure!(get(&controller.url("/readyz"))?.status == 503);
    ensure!(get(&controller.url("/v1/nodes/a"))?.status == 503, "a state was told that nobody knows");
    plane.set_controllers_verbs(&json!(["get", "list", "watch"]))?;
    controller.becomes("a", NodeState::Ready)
}
