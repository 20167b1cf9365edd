//! A program goes on that is connected to a UNIX datagram socket of another pod or of the node, as to a DaemonSet for metrics or to
//! `/dev/log`: it is connected again, here and in the next pod, to whoever has bound the socket by then.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::bind;
use crik_tests::story::{CHECKPOINTED, STEPS, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// An agent outside of the pod's network, which takes all that comes.
struct Agent {
    heard: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Agent {
    fn new(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let (heard, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, end) = (Arc::clone(&heard), Arc::clone(&over));
        let listening = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if socket.recv(&mut [0; 16]).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { heard, over, listening: Some(listening) })
    }

    fn on(volume: &Volume) -> Result<Self> {
        Self::new(&volume.path().join("agent.sock"))
    }

    /// Expects that more comes of what is sent from now on.
    fn hears(&self, running: &Running) -> Result<()> {
        let before = self.heard.load(Ordering::Relaxed);
        let more = || (self.heard.load(Ordering::Relaxed) >= before + STEPS).then_some(());
        wait_for("datagrams", more).with_context(|| running.transcript())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.listening.take().map(JoinHandle::join);
    }
}

/// What the program exits with when its SIGTERM comes.
const TOLD_TO_STOP: i32 = 3;

fn pod(volume: &Volume, config: &str) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/addresses.py", "agent"])
        .config("claimExpiry: 1s")
        .config(config)
}

/// Expects that nothing that the program sent has failed.
fn never_failed(said: &str) -> Result<()> {
    ensure!(!said.contains("agent E"), "{said}");
    Ok(())
}

#[test]
fn what_is_connected_to_another_pod_stays_so_over_three_pods() -> Result<()> {
    let volume = Volume::new()?;
    let (agent, pod) = (Agent::on(&volume)?, pod(&volume, ""));
    let mut outputs = Vec::new();
    for generation in 0..3 {
        let mut running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        agent.hears(&running)?;
        ends_with(&mut running, CHECKPOINTED)?;
        outputs.push(running.stdout.text());
    }
    never_failed(&outputs.concat())?;
    chain::verify(&outputs).map(drop)
}

#[test]
fn the_nodes_log_has_another_name_there_and_another_file_on_the_next_node() -> Result<()> {
    let (volume, nodes) = (Volume::new()?, [tempfile::tempdir()?, tempfile::tempdir()?]);
    let on = |node: &Path| {
        let socket = node.join("dev-log");
        pod(&volume, "").with(|spec| {
            spec.env("AGENT", "/dev/log");
            spec.mounts.push(bind(&socket, "/dev/log", "rw"));
        })
    };
    let agents =
        [Agent::new(&nodes[0].path().join("dev-log"))?, Agent::new(&nodes[1].path().join("dev-log"))?];
    let mut first = started(&on(nodes[0].path()))?;
    agents[0].hears(&first)?;
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&on(nodes[1].path()))?;
    resumes(&second, 1)?;
    agents[1].hears(&second)?;
    never_failed(&(first.stdout.text() + &second.stdout.text()))?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn a_program_that_goes_on_after_its_checkpoint_never_notices() -> Result<()> {
    let volume = Volume::new()?;
    let (agent, pod) = (Agent::on(&volume)?, pod(&volume, "interval: 1s"));
    let mut running = started(&pod)?;
    for number in ["00000002", "00000003"] {
        running.stderr.wait_for(&format!("generation {number} is durable"))?;
        agent.hears(&running)?;
    }
    never_failed(&running.stdout.text())?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    // In the same pod: the container is started again.
    let again = started(&pod)?;
    again.stderr.wait_for("restored generation")?;
    agent.hears(&again)?;
    never_failed(&again.stdout.text())?;
    chain::verify_repeated(&running.stdout.text(), &again.stdout.text()).map(drop)
}

#[test]
fn after_a_dump_that_failed_it_is_connected_again() -> Result<()> {
    let volume = Volume::new()?;
    let (agent, streams) = (Agent::on(&volume)?, UnixListener::bind(volume.path().join("stream.sock"))?);
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/addresses.py", "agent", "stream"])
        .config("unixConnections: refuse");
    let running = started(&pod)?;
    let _accepted = streams.accept()?;
    let (code, _, said) = running.exec(&["crik", "checkpoint"])?;
    ensure!(code != Some(0) && said.contains("stream.sock to a process outside"), "{said}");
    agent.hears(&running)
}

#[test]
fn an_agent_that_comes_later_than_the_program_is_waited_for() -> Result<()> {
    let volume = Volume::new()?;
    let (agent, pod) = (Agent::on(&volume)?, pod(&volume, "volumeTimeout: 60s"));
    let first = checkpointed(&pod)?;
    drop(agent);
    fs::remove_file(volume.path().join("agent.sock"))?;
    let second = pod.start()?;
    second.stderr.wait_for("waiting for /checkpoints/agent.sock, to which the program is connected")?;
    let agent = Agent::on(&volume)?;
    resumes(&second, 1)?;
    second.wait_for_lines(STEPS)?;
    agent.hears(&second)?;
    never_failed(&(first.clone() + &second.stdout.text()))?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn without_its_agent_a_program_goes_on_unconnected() -> Result<()> {
    let volume = Volume::new()?;
    // To wait for it is no restore that hangs.
    let (agent, pod) = (Agent::on(&volume)?, pod(&volume, "volumeTimeout: 6s\nrestoreTimeout: 3s"));
    let first = checkpointed(&pod)?;
    // Its file stays behind, as that of an agent that was killed.
    drop(agent);
    let second = started(&pod)?;
    resumes(&second, 1)?;
    let said = "the program's socket is left unconnected, which was connected to /checkpoints/agent.sock";
    second.stderr.wait_for(said)?;
    ensure!(second.stderr.text().matches("left unconnected").count() == 1, "{}", second.transcript());
    second.stdout.wait_for("agent ENOTCONN")?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn where_no_path_leads_to_it_there_is_no_checkpoint_and_the_program_is_told_to_stop() -> Result<()> {
    let volume = Volume::new()?;
    let (_agent, pod) = (Agent::on(&volume)?, pod(&volume, ""));
    let mut running = started(&pod)?;
    fs::rename(volume.path().join("agent.sock"), volume.path().join("another-name"))?;
    ends_with(&mut running, TOLD_TO_STOP)?;
    running.stderr.wait_for("agent.sock, to which no path of this container leads")?;
    running.stderr.wait_for("no checkpoint; the application is told to stop")?;
    ensure!(volume.generations("job-0").is_empty());
    Ok(())
}
