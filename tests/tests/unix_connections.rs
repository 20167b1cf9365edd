//! Connections over UNIX sockets to other containers, as to a proxy or a daemon of the node, are closed by a stop as TCP connections are,
//! and where they cannot be it is said with whom the program is connected.

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
        ensure!(running.stderr.text().contains("closed: process "), "{}", running.transcript());
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

/// Expects a stop without a checkpoint, of which this is the reason.
fn is_refused(pod: &Pod, why: &str) -> Result<()> {
    let mut running = started(pod)?;
    ends_with(&mut running, CHECKPOINTED)?;
    let said = running.stderr.text();
    ensure!(said.contains(why) && !said.contains("is durable"), "{said}");
    ensure!(said.contains("the application is told to stop"), "{said}");
    Ok(())
}

/// A socket is called as who has bound it calls it.
const NAMED: &str = "daemon.sock to a process outside of this container, which cannot be frozen";

#[test]
fn one_that_the_other_side_keeps_open_is_named() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, true)?;
    is_refused(&Pod::new(&volume, "node-a", &CLIENT), NAMED)
}

#[test]
fn who_wants_none_closed_gets_that() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, false)?;
    is_refused(&Pod::new(&volume, "node-a", &CLIENT).config("unixConnections: refuse"), NAMED)
}

#[test]
fn a_program_that_goes_on_keeps_its_connection() -> Result<()> {
    let volume = Volume::new()?;
    let _daemon = Daemon::on(&volume, false)?;
    let running = started(&Pod::new(&volume, "node-a", &CLIENT))?;
    let (code, said, error) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code != Some(0) && format!("{said}{error}").contains(NAMED), "{said}{error}");
    let lines = running.stdout.text().lines().count();
    running.wait_for_lines(lines + STEPS)?;
    ensure!(!running.stderr.text().contains("connected again"), "{}", running.transcript());
    Ok(())
}
