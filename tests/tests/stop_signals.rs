//! An image or a pod may name another signal than SIGTERM by which its container is stopped: nginx has SIGQUIT, PostgreSQL SIGINT, Apache
//! SIGWINCH, systemd SIGRTMIN+3. It means the same as a SIGTERM when the runtime sends it, and what it means to the program when anybody
//! else does.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, ends_with, resumes, started};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

/// As containerd counts it.
const SIGRTMIN: i32 = 34;

/// A program that says which signals it gets, and ends with 15 of a SIGTERM alone.
fn telling(volume: &Volume, config: &str) -> Result<Running> {
    let running = Pod::new(volume, "node-a", &["python3", "/programs/signals.py"]).config(config).start()?;
    running.stdout.wait_for("listening")?;
    Ok(running)
}

#[test]
fn whatever_signal_the_runtime_stops_by_there_is_a_checkpoint() -> Result<()> {
    let (volume, mut outputs) = (Volume::new()?, Vec::new());
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .config("stopSignals: [SIGQUIT, INT, SIGWINCH, USR1, SIGRTMIN+3, '12']");
    let named = [libc::SIGQUIT, libc::SIGINT, libc::SIGWINCH, libc::SIGUSR1, SIGRTMIN + 3, libc::SIGUSR2];
    for (generation, signal) in (0..).zip(named) {
        let mut running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        let code = running.stop_by(signal)?;
        ensure!(code == CHECKPOINTED, "signal {signal}: exit code {code}\n{}", running.transcript());
        outputs.push(running.stdout.text());
    }
    chain::verify(&outputs)?;
    Ok(())
}

#[test]
fn those_of_well_known_images_need_no_configuration() -> Result<()> {
    for signal in [libc::SIGQUIT, libc::SIGINT, libc::SIGWINCH, libc::SIGUSR1, SIGRTMIN + 3] {
        let volume = Volume::new()?;
        let code = started(&Pod::new(&volume, "node-a", &SINGLE))?.stop_by(signal)?;
        ensure!(code == CHECKPOINTED && volume.generations("job-0").len() == 1, "signal {signal}: {code}");
    }
    Ok(())
}

#[test]
fn from_within_the_container_such_a_signal_is_the_programs() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = telling(&volume, "")?;
    for name in ["INT", "QUIT", "WINCH", "USR1"] {
        running.exec(&["sh", "-c", &format!("kill -{name} 1")])?;
        running.stdout.wait_for(&format!("got SIG{name}"))?;
    }
    ensure!(volume.generations("job-0").is_empty(), "{}", running.transcript());
    ends_with(&mut running, CHECKPOINTED)
}

#[test]
fn what_is_not_named_is_the_programs_whoever_sends_it() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = telling(&volume, "stopSignals: []")?;
    for signal in [Signal::SIGQUIT, Signal::SIGHUP] {
        running.signal(signal)?;
        running.stdout.wait_for(&format!("got {signal}"))?;
    }
    ends_with(&mut running, CHECKPOINTED)
}

#[test]
fn without_a_checkpoint_the_program_gets_the_very_signal() -> Result<()> {
    let profile = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW"});
    let refused = "nodeStateServerURL: http://127.0.0.1:1\nonUnknown: terminate\ndecisionTimeout: 100ms";
    for (config, profile) in [(refused, None), ("", Some(profile))] {
        let volume = Volume::new()?;
        let pod = Pod::new(&volume, "node-a", &["python3", "/programs/signals.py"]).config(config);
        let mut running = pod.with(|spec| spec.seccomp = profile).start()?;
        running.stdout.wait_for("listening")?;
        running.signal(Signal::SIGINT)?;
        running.stdout.wait_for("got SIGINT")?;
        running.stderr.wait_for("the application is told to stop")?;
        ensure!(!running.stdout.text().contains("SIGTERM"), "{}", running.transcript());
        // What comes later is for it too, by which it ends.
        ends_with(&mut running, 15)?;
    }
    Ok(())
}
