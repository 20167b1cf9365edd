//! What CRIU cannot freeze is named with its process a moment after the start, and at a checkpoint before CRIU is tried; and a program
//! that asks for a ring of io_uring, and bears that there is none, is not given one.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::compile::compiled;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::bind;
use crik_tests::story::{CHECKPOINTED, ends_with, resumes, started, stops_without_checkpoint};
use crik_tests::volume::Volume;

/// A pod with a program that asks for a ring in this way.
fn rings(volume: &Volume, way: &str) -> Result<Pod> {
    let library = compiled("rings/liburing.so.c")?;
    let mount = bind(&library, "/liburing.so.2", "ro");
    let command = ["python3", "/programs/rings.py", way, "/liburing.so.2"];
    Ok(Pod::new(volume, "node-a", &command).with(|spec| spec.mounts.push(mount.clone())))
}

/// Expects that it is said after the start, and at a checkpoint at once, with all of this.
fn is_named(running: &Running, reasons: &[&str]) -> Result<()> {
    running.stderr.wait_for("no checkpoint can be taken here: process ")?;
    let told = running.stderr.text();
    ensure!(reasons.iter().all(|reason| told.contains(reason)), "{}", running.transcript());
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    let tried = said.contains("criu failed");
    ensure!(code != Some(0) && !tried && reasons.iter().all(|reason| said.contains(reason)), "{said}");
    Ok(())
}

#[test]
fn a_program_that_asks_for_a_ring_does_without_and_goes_on() -> Result<()> {
    for way in ["syscall", "liburing"] {
        let (volume, mut outputs) = (Volume::new()?, Vec::new());
        let pod = rings(&volume, way)?;
        for generation in 0..2 {
            let mut running = started(&pod)?;
            match generation {
                0 => running.stderr.wait_for("no ring, error 38")?,
                _ => resumes(&running, generation)?,
            }
            ends_with(&mut running, CHECKPOINTED)?;
            outputs.push(running.stdout.text());
        }
        chain::verify(&outputs)?;
    }
    Ok(())
}

#[test]
fn one_that_is_to_have_a_ring_gets_it_and_is_named() -> Result<()> {
    for way in ["syscall", "liburing"] {
        let volume = Volume::new()?;
        let running = started(&rings(&volume, way)?.config("ioUring: true"))?;
        running.stderr.wait_for("a ring is made")?;
        is_named(&running, &["(python3) has a ring of io_uring", "kernel.io_uring_disabled"])?;
    }
    Ok(())
}

#[test]
fn a_ring_that_is_made_by_an_instruction_is_named_and_the_program_gets_its_sigterm() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&rings(&volume, "instruction")?)?;
    running.stderr.wait_for("a ring is made")?;
    is_named(&running, &["(python3) has a ring of io_uring", "have the program do without"])?;
    stops_without_checkpoint(&mut running, &volume)
}

#[test]
fn a_tracer_is_named_and_when_it_has_ended_there_is_a_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &["python3", "/programs/traced.py"]))?;
    is_named(&running, &["(python3) is traced by process", "(debugger), and CRIU", "end the tracer"])?;
    running.exec(&["touch", "/tmp/end"])?;
    running.stderr.wait_for("nobody traces")?;
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{said}");
    Ok(())
}

/// A pod whose program has set a filter for itself: one process of it, or all.
fn filtering(volume: &Volume, who: &str) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/filtered.py", who])
}

#[test]
fn a_seccomp_filter_of_the_programs_own_is_named_with_its_process_wherever_nobody_can_read_it() -> Result<()>
{
    for host_users in [true, false] {
        let volume = Volume::new()?;
        let pod = filtering(&volume, "child").with(|spec| {
            spec.user_namespace = !host_users;
            let more = (!host_users).then(|| "CAP_SYS_ADMIN".to_owned());
            spec.capabilities.extend(more);
        });
        let mut running = started(&pod)?;
        is_named(&running, &["(sandboxed) has a seccomp filter of its own", "--no-sandbox"])?;
        let (_, told, _) = running.exec(&["crik", "doctor"])?;
        ensure!(told.contains("(sandboxed) has a seccomp filter of its own"), "{told}");
        stops_without_checkpoint(&mut running, &volume)?;
    }
    Ok(())
}

#[test]
fn the_pods_profile_is_told_from_a_filter_of_the_programs_own() -> Result<()> {
    let profile = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}]});
    for (who, is_filtered) in [("nobody", false), ("child", true)] {
        let volume = Volume::new()?;
        let running = started(&filtering(&volume, who).with(|spec| spec.seccomp = Some(profile.clone())))?;
        let (_, told, _) = running.exec(&["crik", "doctor"])?;
        ensure!(told.contains("seccompProfile.type: Unconfined"), "{told}");
        ensure!(told.contains("has a seccomp filter of its own") == is_filtered, "{who}: {told}");
    }
    Ok(())
}

#[test]
fn where_the_pod_may_do_all_on_its_node_a_program_goes_on_under_its_filter() -> Result<()> {
    let (volume, mut outputs) = (Volume::new()?, Vec::new());
    let pod = filtering(&volume, "all").with(|spec| spec.capabilities.push("CAP_SYS_ADMIN".to_owned()));
    for generation in 0..3 {
        let mut running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        ends_with(&mut running, CHECKPOINTED)?;
        outputs.push(running.stdout.text());
    }
    chain::verify(&outputs)?;
    Ok(())
}
