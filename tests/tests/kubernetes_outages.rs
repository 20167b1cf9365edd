//! Each part of the control plane goes away, and stands still, for a part of the time: a node that dies meanwhile is not told to
//! be ready for longer than it takes to notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use crik_api::{NodeState, NodeStatus};
use crik_tests::control_plane::ControlPlane;
use crik_tests::control_plane::watched::{NOTICED_WITHIN, Watched};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::get;
use crik_tests::wait::wait_for;
use crik_tests::wire::Wire;
use nix::sys::signal::Signal;

/// By what the timers of a busy machine are late.
const LATE: Duration = Duration::from_secs(2);

/// A moment for each look at the answer.
const LOOK: Duration = Duration::from_millis(20);

/// What is told of a node, and when.
struct Told(Vec<(Instant, NodeStatus)>);

impl Told {
    /// Collects what is told of the node `a` while something is done.
    fn during<T>(controller: &Controller, act: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut told = Vec::new();
                loop {
                    let (last, began) = (stop.load(Ordering::Relaxed), Instant::now());
                    told.extend(controller.status("a").ok().map(|status| (began, status)));
                    if last {
                        return told;
                    }
                    thread::sleep(LOOK);
                }
            });
            let done = act();
            stop.store(true, Ordering::Relaxed);
            let told = looking.join().map_err(|_| anyhow!("the look panicked"))?;
            Ok((done?, Self(told)))
        })
    }

    /// That from some time after `since` on the node was told to be unknown, because of the source, or what it has become; and
    /// how long that took.
    fn is_never_ready_for_long(&self, since: Instant) -> Result<Duration> {
        let believed = |status: &NodeStatus| status.state == NodeState::Ready;
        let last = self.0.iter().rev().find(|(_, status)| believed(status)).map_or(since, |(at, _)| *at);
        let noticed = last.saturating_duration_since(since);
        ensure!(noticed < NOTICED_WITHIN + LATE, "told to be ready for {noticed:?}");
        let after: Vec<&NodeStatus> =
            self.0.iter().filter(|(at, _)| *at > last).map(|(_, status)| status).collect();
        let unknown = |status: &&&NodeStatus| status.state == NodeState::Unknown;
        let doubts: Vec<_> = after.iter().filter(unknown).collect();
        ensure!(!doubts.is_empty(), "nobody doubted it: {after:?}");
        for status in doubts {
            let because = status.reasons.iter().any(|reason| reason.signal == "source-lost");
            ensure!(status.stale && because, "unknown without a reason: {status:?}");
        }
        Ok(noticed)
    }
}

/// The node's kubelet, which says that it shuts down until somebody has written it down.
fn dies(watched: &Watched) -> Result<()> {
    wait_for("the kubelet's last word to be taken", || watched.plane.shut_down("a").ok().map(drop))
}

/// Takes a part away until that is noticed, gives it back, and has the node die: what is told of it in all that time.
fn away(
    watched: &mut Watched,
    take: impl FnOnce(&mut Watched) -> Result<()>,
    give_back: impl FnOnce(&mut Watched) -> Result<()>,
) -> Result<Duration> {
    let began = Instant::now();
    take(watched)?;
    let ((), told) = Told::during(&watched.controller, || watched.is_stale())?;
    give_back(watched)?;
    dies(watched)?;
    watched.is_fresh("a", NodeState::ShuttingDown)?;
    told.is_never_ready_for_long(began)
}

#[test]
fn a_node_that_dies_while_etcd_hangs_is_doubted_in_time() -> Result<()> {
    let mut watched = Watched::new()?;
    watched.plane.etcd().daemon().signal(Signal::SIGSTOP)?;
    let began = Instant::now();
    let noticed = Told::during(&watched.controller, || {
        watched.is_stale()?;
        // And it stays so, although the API server answers the next watch too from its cache.
        thread::sleep(Duration::from_secs(16));
        watched.still_ready()
    });
    watched.plane.etcd().daemon().signal(Signal::SIGCONT)?;
    let ((), told) = noticed?;
    let noticed = told.is_never_ready_for_long(began)?;
    eprintln!("an etcd that hangs was noticed after {noticed:.1?}");
    watched.controller.logs("is its etcd there?")?;
    dies(&watched)?;
    watched.is_fresh("a", NodeState::ShuttingDown)
}

#[test]
fn a_node_that_dies_while_etcd_is_dead_is_doubted_in_time() -> Result<()> {
    let mut watched = Watched::new()?;
    let noticed = away(
        &mut watched,
        |watched| {
            watched.plane.etcd().daemon().kill();
            Ok(())
        },
        |watched| watched.plane.etcd().daemon().launch(),
    )?;
    eprintln!("an etcd that is dead was noticed after {noticed:.1?}");
    Ok(())
}

/// Two API servers behind one address, as a Service has them: what one of them proves says nothing of the other.
#[test]
fn an_api_server_that_is_cut_off_from_etcd_is_not_believed_because_another_one_is_well() -> Result<()> {
    let mut plane = ControlPlane::start()?;
    plane.create_node(&TestNode::ready("a"))?;
    let etcd = Wire::to(plane.etcd().port())?;
    let cut_off = plane.another_server(etcd.address())?;
    let service = Wire::to(cut_off.port())?;
    let account = plane.create_controllers_identity()?;
    let kubeconfig = plane.kubeconfig_of_at(account, &format!("https://{}", service.address()))?;
    let controller = Controller::watching(&kubeconfig, &[])?;
    controller.becomes("a", NodeState::Ready)?;
    // Who connects anew from now on comes to the one that is well.
    service.lead_to(plane.port());
    etcd.cut();
    let began = Instant::now();
    plane.shut_down("a")?;
    wait_for("the node not to be told to be ready any more", || {
        let status = controller.status("a").ok()?;
        (status.state != NodeState::Ready || status.stale).then_some(())
    })?;
    let noticed = began.elapsed();
    eprintln!("an API server that is cut off was noticed after {noticed:.1?}");
    ensure!(noticed < NOTICED_WITHIN + LATE, "{noticed:?}");
    controller.becomes("a", NodeState::ShuttingDown)
}

#[test]
fn parts_that_are_away_in_turns_are_doubted_as_one_that_is_away_all_the_time() -> Result<()> {
    let mut watched = Watched::new()?;
    let part = Duration::from_secs(12);
    let Watched { controller, wire, plane } = &mut watched;
    let began = Instant::now();
    let in_turns = || {
        plane.etcd().daemon().signal(Signal::SIGSTOP)?;
        thread::sleep(part);
        plane.server().signal(Signal::SIGSTOP)?;
        plane.etcd().daemon().signal(Signal::SIGCONT)?;
        thread::sleep(part);
        wire.cut();
        plane.server().signal(Signal::SIGCONT)?;
        wait_for("the state to be stale", || controller.status("a").is_ok_and(|a| a.stale).then_some(()))
    };
    let ((), told) = Told::during(controller, in_turns)?;
    let noticed = told.is_never_ready_for_long(began)?;
    eprintln!("parts that are away in turns were noticed after {noticed:.1?}");
    dies(&watched)?;
    watched.wire.mend();
    watched.is_fresh("a", NodeState::ShuttingDown)
}

#[test]
fn an_etcd_that_stands_still_for_a_moment_makes_nothing_old() -> Result<()> {
    let mut watched = Watched::new()?;
    let since = watched.controller.status("a")?.version;
    let url = watched.controller.url(&format!("/v1/nodes/a?wait=15s&since={since}"));
    let poll = thread::spawn(move || get(&url));
    watched.plane.etcd().daemon().signal(Signal::SIGSTOP)?;
    // As long as the election of another leader takes.
    thread::sleep(Duration::from_secs(4));
    watched.plane.etcd().daemon().signal(Signal::SIGCONT)?;
    let answer = poll.join().map_err(|_| anyhow!("the poll panicked"))??;
    ensure!(answer.json()["version"] == since.as_str(), "{}\n{}", answer.body, watched.controller.log());
    Ok(())
}
