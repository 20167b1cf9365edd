//! Connections over UNIX sockets to other containers, as to a proxy or a daemon of the node: what is resumed finds them closed, as TCP
//! connections are, and what goes on keeps them. Who wants none closed is told with whom the program is connected.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, STEPS, ends_with, resumes, started};
use crik_tests::volume::Volume;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

const CLIENT: [&str; 3] = ["python3", "/programs/client.py", "/checkpoints/daemon.sock"];

/// Somebody outside of the pod's network who answers all that is said, for as long as the test runs.
struct Daemon {
    path: PathBuf,
    /// Kept open though the other side has closed.
    kept: Arc<Mutex<Vec<UnixStream>>>,
}

impl Daemon {
    fn on(volume: &Volume, keeps: bool) -> Result<Self> {
        let daemon = Self { path: volume.path().join("daemon.sock"), kept: Arc::default() };
        let (listener, kept) = (UnixListener::bind(&daemon.path)?, Arc::clone(&daemon.kept));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = keeps.then(|| Arc::clone(&kept));
                thread::spawn(move || answer(client, kept.as_deref()));
            }
        });
        Ok(daemon)
    }
}

fn answer(mut client: UnixStream, keeps: Option<&Mutex<Vec<UnixStream>>>) {
    let mut said = [0];
    while client.read(&mut said).is_ok_and(|bytes| bytes == 1) && client.write_all(&said).is_ok() {}
    if let Some(kept) = keeps {
        kept.lock().expect("nobody panics with it").push(client);
    }
}

#[test]
fn a_client_of_a_daemon_moves_three_times_and_connects_again() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, false)?;
    let pod = Pod::new(&volume, "node-a", &CLIENT);
    let mut outputs = Vec::new();
    for generation in 0..=3 {
        let mut running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
            running.stderr.wait_for("connected again").with_context(|| running.transcript())?;
        }
        ends_with(&mut running, CHECKPOINTED)?;
        ensure!(
            running.stderr.text().contains("closed for the next pod: process "),
            "{}",
            running.transcript()
        );
        outputs.push(running.stdout.text());
    }
    chain::verify(&outputs).map(drop)
}

#[test]
fn a_server_loses_its_client_and_goes_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/server.py", "/checkpoints/server.sock"]);
    let mut first = started(&pod)?;
    let mut client = connected_in_pod(&first, &volume)?;
    let reading = thread::spawn(move || client.read(&mut [0]));
    ends_with(&mut first, CHECKPOINTED)?;
    ensure!(matches!(reading.join(), Ok(Ok(0))), "the client was not told");
    ensure!(first.stderr.text().contains("is durable"), "{}", first.transcript());
    let second = started(&pod)?;
    resumes(&second, 1)?;
    connected_in_pod(&second, &volume).map(drop)
}

/// A client that is served, as from a sidecar: in the pod's network, and out of sight otherwise.
fn connected_in_pod(running: &Running, volume: &Volume) -> Result<UnixStream> {
    let first =
        running.processes().into_iter().find(|process| process.pid == 1).context("nobody is first")?;
    let network = File::open(format!("/proc/{}/ns/net", first.host_pid))?;
    let path = volume.path().join("server.sock");
    let connecting = thread::spawn(move || -> Result<UnixStream> {
        setns(network, CloneFlags::CLONE_NEWNET)?;
        let mut client = UnixStream::connect(path)?;
        client.write_all(b"x")?;
        client.read_exact(&mut [0])?;
        Ok(client)
    });
    connecting.join().map_err(|_| anyhow!("the client has panicked"))?
}

/// A socket is called as who has bound it calls it.
const NAMED: &str = "daemon.sock to a process outside of this container, which cannot be frozen";

const REFUSE: &str = "unixConnections: refuse";

#[test]
fn who_wants_none_closed_gets_that() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, false)?;
    let mut running = started(&Pod::new(&volume, "node-a", &CLIENT).config(REFUSE))?;
    let (code, said, error) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code != Some(0) && format!("{said}{error}").contains(NAMED), "{said}{error}");
    goes_on_undisturbed(&running)?;
    ends_with(&mut running, CHECKPOINTED)?;
    let said = running.stderr.text();
    ensure!(said.contains(NAMED) && !said.contains("is durable"), "{said}");
    ensure!(said.contains("the application is told to stop"), "{said}");
    Ok(())
}

/// Expects steps over the connection that the program has.
fn goes_on_undisturbed(running: &Running) -> Result<()> {
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    ensure!(!running.stderr.text().contains("connected again"), "{}", running.transcript());
    Ok(())
}

#[test]
fn one_that_the_other_side_keeps_open_is_no_obstacle() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, true)?;
    let pod = Pod::new(&volume, "node-a", &CLIENT);
    let mut first = started(&pod)?;
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    second.stderr.wait_for("connected again").with_context(|| second.transcript())?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn a_program_that_goes_on_keeps_its_connection_and_one_that_is_resumed_connects_again() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, false)?;
    let pod = Pod::new(&volume, "node-a", &CLIENT).config("claimExpiry: 1s\ninterval: 1s");
    let mut first = started(&pod)?;
    for generation in 1..=2 {
        first.stderr.wait_for(&format!("generation {generation:08} is durable"))?;
        goes_on_undisturbed(&first)?;
    }
    // As when the node is lost.
    first.signal(Signal::SIGKILL)?;
    first.wait()?;
    let second = started(&pod.replacement())?;
    second.stderr.wait_for("restored generation ")?;
    second.stderr.wait_for("connected again").with_context(|| second.transcript())?;
    chain::verify_repeated(&first.stdout.text(), &second.stdout.text()).map(drop)
}

#[test]
fn what_came_before_the_checkpoint_and_was_not_read_is_read_after_it() -> Result<()> {
    let volume = Volume::new()?;
    let listener = UnixListener::bind(volume.path().join("daemon.sock"))?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/unread.py", "/checkpoints/daemon.sock"]);
    let mut first = started(&pod)?;
    let (mut daemon, _) = listener.accept()?;
    daemon.write_all(b"a letter")?;
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    second.exec(&["touch", "/tmp/read"])?;
    second.stderr.wait_for("read b'a letter' and the end").with_context(|| second.transcript())
}

#[test]
fn a_hook_has_the_program_close_it_and_its_counterpart_open_it_again() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, false)?;
    // Asked to, it closes its connection and says so, and connects again.
    let hooks = "hooks: {preCheckpoint: {command: [sh, -c, 'rm -f /tmp/alone; kill -USR1 $(cat /tmp/pid); until [ -e /tmp/alone ]; do sleep 0.01; done'], \
                 onFailure: fail}, postCheckpoint: {command: [sh, -c, 'kill -USR2 $(cat /tmp/pid)']}, postRestore: {command: [sh, -c, 'kill -USR2 $(cat /tmp/pid)']}}";
    let pod = Pod::new(&volume, "node-a", &CLIENT).config(REFUSE).config(hooks);
    let mut first = started(&pod)?;
    let (code, said, error) = first.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{said}{error}\n{}", first.transcript());
    first.stderr.wait_for("connected again")?;
    first.wait_for_lines(first.stdout.text().lines().count() + STEPS)?;
    ends_with(&mut first, CHECKPOINTED)?;
    ensure!(first.stderr.text().contains("generation 00000002 is durable"), "{}", first.transcript());
    let second = started(&pod)?;
    resumes(&second, 2)?;
    second.stderr.wait_for("connected again").with_context(|| second.transcript())?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}
