//! Under `crik run` a program behaves as without it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::command::run;
use crik_tests::pod::Pod;
use crik_tests::story::{CHECKPOINTED, SINGLE, ends_with, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// A pod without a controller or an image directory.
fn plain(volume: &Volume, command: &[&str]) -> Pod {
    Pod::new(volume, "node-a", command).only_config("")
}

#[test]
fn the_exit_status_is_that_of_the_application() -> Result<()> {
    let volume = Volume::new()?;
    let cases: [(&[&str], i32); 9] = [
        (&["true"], 0),
        (&["sh", "-c", "exit 1"], 1),
        (&["sh", "-c", "exit 42"], 42),
        (&["no-such-command"], 127),
        (&["/no/such/command"], 127),
        (&["/etc/passwd"], 126),
        (&["/tmp"], 126),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["sh", "-c", "kill -SEGV $$"], 128 + 11),
    ];
    for (command, expected) in cases {
        let mut running = plain(&volume, command).start()?;
        let code = running.wait()?;
        ensure!(code == expected, "{command:?} gave {code}, not {expected}\n{}", running.transcript());
    }
    Ok(())
}

#[test]
fn a_command_that_cannot_run_is_named_with_its_remedy() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = plain(&volume, &["no-such-command"]).start()?;
    running.wait()?;
    running.stderr.wait_for("command not found: \"no-such-command\"; check the pod's command")
}

#[test]
fn every_catchable_signal_is_passed_on() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = plain(&volume, &["python3", "/programs/signals.py"]).start()?;
    running.stdout.wait_for("listening")?;
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH] {
        running.send(signal)?;
        running.stdout.wait_for(&format!("got {signal}"))?;
    }
    running.signal_number(libc::SIGRTMIN())?;
    running.stdout.wait_for("got SIGRTMIN")?;
    ensure!(running.stop()? == 15, "{}", running.transcript());
    running.stdout.wait_for("got SIGTERM")
}

#[test]
fn every_sigterm_is_passed_on_to_an_application_that_lives_on() -> Result<()> {
    let volume = Volume::new()?;
    let script = "trap 'n=$((n + 1)); echo got $n' TERM; echo up; while :; do sleep 0.05; done";
    let running = plain(&volume, &["sh", "-c", script]).start()?;
    running.stdout.wait_for("up")?;
    for count in 1..=3 {
        running.signal(Signal::SIGTERM)?;
        running.stdout.wait_for(&format!("got {count}"))?;
    }
    Ok(())
}

#[test]
fn a_thousand_orphans_leave_no_zombie() -> Result<()> {
    let volume = Volume::new()?;
    let running = plain(&volume, &["python3", "/programs/orphans.py"]).start()?;
    running.stdout.wait_for("left")?;
    wait_for("all orphans to be reaped", || (running.processes().len() == 3).then_some(()))
        .map_err(|error| error.context(format!("{:?}", running.processes())))
}

#[test]
fn the_end_of_the_application_is_the_end_of_the_container() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = Pod::new(&volume, "node-a", &["sh", "-c", "setsid sleep 1000 & exit 3"]).start()?;
    ensure!(running.wait()? == 3, "{}", running.transcript());
    Ok(())
}

#[test]
fn arguments_and_environment_reach_the_application_as_they_are() -> Result<()> {
    let volume = Volume::new()?;
    let script = "printf '%s|' \"$0\" \"$@\"; env";
    let mut running = plain(&volume, &["sh", "-c", script, "a b", "", "--debug", "$HOME"]).start()?;
    running.wait()?;
    let said = running.stdout.text();
    ensure!(said.starts_with("a b||--debug|$HOME|"), "{said}");
    ensure!(said.contains("POD_NAME=job-0") && !said.contains("CRIU"), "{said}");
    Ok(())
}

#[test]
fn the_tree_has_nothing_open_but_its_streams() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = Pod::new(&volume, "node-a", &["sh", "-c", "ls /proc/$$/fd; exit 1"]).start()?;
    running.wait()?;
    // The shell itself may keep one of its own, from 10 on.
    let foreign: Vec<String> = running
        .stdout
        .text()
        .lines()
        .filter(|fd| !["0", "1", "2", "10"].contains(fd))
        .map(str::to_owned)
        .collect();
    ensure!(foreign.is_empty(), "{foreign:?}");
    Ok(())
}

/// Asks at the control socket of a container as any process that sees it can, and says what was answered.
const ASK: &str = "import socket, sys
control = socket.socket(socket.AF_UNIX)
control.settimeout(60)
control.connect('\\0crik-agent-' + sys.argv[1])
try:
    control.sendall(b'{\"leaveRunning\": false}\\n')
    print('answered', control.recv(100))
except OSError as error: print(error)";

#[test]
fn nobody_outside_the_container_can_ask_for_a_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    let processes = running.processes();
    let agent = processes.iter().find(|process| process.pid == 1).context("no agent")?;
    let namespace = fs::read_link(format!("/proc/{}/ns/pid", agent.host_pid))?.display().to_string();
    // As another container of the pod, or with hostNetwork any process of the node: the same network, and root.
    let network = format!("--net=/proc/{}/ns/net", agent.host_pid);
    let said = run("nsenter", &[&network, "python3", "-c", ASK, &namespace])?;
    ensure!(["answered b''", "reset", "Broken pipe"].iter().any(|end| said.contains(end)), "{said}");
    // Those that only hold connections open are waited for, and then it is one's turn.
    let hold = "import socket, sys, time
idle = [socket.socket(socket.AF_UNIX) for _ in range(100)]
for one in idle: one.connect('\\0crik-agent-' + sys.argv[1])";
    let (code, _, said) = running.exec(&["python3", "-c", hold, &namespace])?;
    ensure!(code == Some(0), "{said}");
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{said}");
    ends_with(&mut running, CHECKPOINTED)
}
