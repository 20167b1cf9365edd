//! What else runs in a container, an exec session or a debugger, does not go along, and holds up no checkpoint.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, ends_with, resumes, started};
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;

const SERVER: [&str; 2] = ["python3", "/programs/server.py"];

/// What a session does, each of which says something when it is there. None ends when it is asked to, but for the last.
const SESSIONS: [(&str, &str); 6] = [
    ("sleeps", SLEEPER),
    ("is connected to a UNIX socket", CLIENT),
    (
        "is connected by TCP",
        "import socket; s = socket.create_connection(('127.0.0.1', 7000)); s.send(b'here'); print(s.recv(9).decode(), flush=True); s.recv(9)",
    ),
    (
        "writes to a FIFO",
        "import time; f = open('/tmp/fifo', 'w'); print('here', flush=True); time.sleep(1000)",
    ),
    (
        "traces it",
        "import ctypes, time; print(ctypes.CDLL(None).ptrace(0x4206, int(open('/tmp/pid').read()), None, None) or 'here', flush=True); time.sleep(1000)",
    ),
    (
        "ends when it is asked to",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); print('here', flush=True); time.sleep(1000)",
    ),
];

const SLEEPER: &str = "import time; print('here', flush=True); time.sleep(1000)";

const CLIENT: &str = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/tmp/server.sock'); s.send(b'here'); print(s.recv(9).decode(), flush=True); s.recv(9)";

/// Begins a session, which goes on after its shell, and asks for the signals that end it in vain.
fn begin_session(running: &Running, program: &str) -> Result<()> {
    let deaf = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGHUP, signal.SIGTERM)]; ";
    let script = format!(
        "setsid python3 -c \"{deaf}{program}\" > /tmp/session 2>&1 & echo $! > /tmp/session.pid; while ! grep -qix here /tmp/session; do sleep 0.01; done"
    );
    let (code, _, error) = running.exec(&["timeout", "20", "sh", "-c", &script])?;
    ensure!(code == Some(0), "no session: {error}\n{}", running.exec(&["cat", "/tmp/session"])?.1);
    Ok(())
}

#[test]
fn a_stop_ends_what_runs_beside_the_program_and_moves_that() -> Result<()> {
    let mut table = Table::new("what a session does");
    table.each(
        &SESSIONS,
        |(name, _)| (*name).to_owned(),
        |(_, program)| {
            let volume = Volume::new()?;
            let pod = Pod::new(&volume, "node-a", &SERVER);
            let mut first = started(&pod)?;
            begin_session(&first, program)?;
            ends_with(&mut first, CHECKPOINTED)?;
            let said = first.stderr.text();
            ensure!(said.contains("beside the program is ended: ") && said.contains("(python3)"), "{said}");
            ensure!(!said.contains("trying again"), "{said}");
            let second = started(&pod)?;
            resumes(&second, 1)?;
            Ok("moved at the first try".to_owned())
        },
    );
    table.finish()
}

#[test]
fn a_periodic_checkpoint_ends_nothing_and_comes_when_the_session_is_over() -> Result<()> {
    let volume = Volume::new()?;
    let running =
        started(&Pod::new(&volume, "node-a", &SERVER).config("interval: 6s\nunixConnections: refuse"))?;
    begin_session(&running, CLIENT)?;
    running.stderr.wait_for("something else runs in this container; it is tried again in 2s")?;
    ensure!(
        running.stderr.text().contains("by the UNIX socket /tmp/server.sock to process "),
        "{}",
        running.transcript()
    );
    let (code, _, error) = running.exec(&["sh", "-c", "kill -KILL $(cat /tmp/session.pid)"])?;
    ensure!(code == Some(0), "it had ended: {error}");
    running.stderr.wait_for("generation 00000001 is durable").with_context(|| running.transcript())
}

#[test]
fn who_asks_for_a_checkpoint_gets_an_answer() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SERVER);
    let mut first = started(&pod)?;
    begin_session(&first, CLIENT)?;
    let (_, said, error) = first.exec(&["sh", "-c", "crik checkpoint; echo and then $?"])?;
    ensure!(said.contains("and then 0"), "{said}{error}");
    ensure!(first.wait()? == CHECKPOINTED, "{}", first.transcript());
    resumes(&started(&pod)?, 1)
}

#[test]
fn the_processes_of_a_sidecar_are_left_alone() -> Result<()> {
    let volume = Volume::new()?;
    let sidecar = Pod::new(&volume, "node-a", &SINGLE).only_config("").start()?;
    sidecar.wait_for_lines(1)?;
    begin_session(&sidecar, SLEEPER)?;
    let of_sidecar = ids(&sidecar);
    let first =
        sidecar.processes().into_iter().find(|process| process.pid == 1).context("nobody is first")?;
    let namespace = format!("/proc/{}/ns/pid", first.host_pid);
    let pod = Pod::new(&volume, "node-a", &SERVER).with(|spec| spec.pid_namespace = Some(namespace.into()));
    let mut running = started(&pod)?;
    begin_session(&running, CLIENT)?;
    ends_with(&mut running, CHECKPOINTED)?;
    ensure!(running.stderr.text().contains("beside the program is ended: "), "{}", running.transcript());
    wait_for("nobody but the sidecar", || (ids(&sidecar) == of_sidecar).then_some(()))
}

fn ids(running: &Running) -> BTreeSet<i32> {
    running.processes().into_iter().map(|process| process.host_pid).collect()
}
