//! Pods with `tty: true` and `stdin: true`: who sits at a shell or an interpreter in one goes on in the next.

use anyhow::{Result, ensure};
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::Input;
use crik_tests::story::{CHECKPOINTED, ends_with, resumes};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;

fn pod(volume: &Volume, input: Input, command: &[&str]) -> Pod {
    Pod::new(volume, "node-a", command).with(|spec| {
        spec.input = input;
        spec.env("TERM", "dumb");
        spec.env("PS1", "$ ");
    })
}

/// Types a line and waits for what it gives, which is not in the line itself.
fn gives(running: &mut Running, line: &str, expected: &str) -> Result<()> {
    running.type_in(&format!("{line}\n"))?;
    running.stdout.wait_for(expected).map_err(|error| error.context(format!("after {line}")))
}

fn moved(mut running: Running, pod: &Pod, generation: u64) -> Result<Running> {
    ends_with(&mut running, CHECKPOINTED)?;
    let next = pod.start()?;
    resumes(&next, generation)?;
    Ok(next)
}

#[test]
fn a_shell_at_the_pods_terminal_goes_on_with_its_jobs() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, Input::Terminal, &["bash", "--norc", "-i"]);
    let mut running = pod.start()?;
    running.resize(40, 100)?;
    gives(&mut running, "known=$((6 * 7)); echo is-$known", "is-42")?;
    gives(&mut running, "sleep 1000000 & echo started-$?", "started-0")?;
    ensure!(!running.stdout.text().contains("no job control"), "{}", running.transcript());
    for generation in 1..3 {
        running = moved(running, &pod, generation)?;
        running.resize(51, 133)?;
        gives(&mut running, "echo still-$known; jobs | tr R r", "still-42")?;
        running.stdout.wait_for("running")?;
        gives(&mut running, "echo size-$(stty size)", "size-51 133")?;
        // A key that stops gets to the job in front.
        running.type_in("sleep 1000000\n")?;
        wait_for("the second sleep", || {
            running.processes().iter().filter(|process| process.name == "sleep").nth(1).map(drop)
        })?;
        running.type_in("\x1a")?;
        running.stdout.wait_for("Stopped")?;
        gives(&mut running, "kill %2; echo gone-$?", "gone-0")?;
    }
    Ok(())
}

/// An interpreter knows over two moves what it was told.
fn an_interpreter_goes_on(input: Input, command: &[&str]) -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, input, command);
    let mut running = pod.start()?;
    gives(&mut running, "known = 6 * 7; print(f'is-{known}')", "is-42")?;
    for generation in 1..3 {
        running = moved(running, &pod, generation)?;
        gives(&mut running, "known += 1; print(f'now-{known}')", &format!("now-{}", 42 + generation))?;
    }
    Ok(())
}

#[test]
fn an_interpreter_at_the_pods_terminal_goes_on() -> Result<()> {
    an_interpreter_goes_on(Input::Terminal, &["python3", "-q"])
}

#[test]
fn who_reads_from_a_pipe_of_the_pods_reads_on_from_the_next_ones() -> Result<()> {
    an_interpreter_goes_on(Input::Pipe, &["python3", "-qi"])
}

#[test]
fn without_a_terminal_a_checkpoint_of_a_program_at_one_is_not_resumed_and_why_is_told() -> Result<()> {
    let volume = Volume::new()?;
    let first = pod(&volume, Input::Terminal, &["python3", "-q"]);
    let mut running = first.start()?;
    gives(&mut running, "known = 6 * 7; print(f'is-{known}')", "is-42")?;
    ends_with(&mut running, CHECKPOINTED)?;
    let other = first.with(|spec| spec.input = Input::Pipe).start()?;
    other.stderr.wait_for("the program is at a terminal, and this container has none; set tty: true")?;
    other.stderr.wait_for("the application starts fresh")
}

#[test]
fn a_program_at_a_terminal_cannot_be_tried_and_why_is_told() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, Input::Terminal, &["python3", "/programs/single.py"]).with(|spec| {
        spec.user_namespace = true;
        spec.capabilities.push("CAP_SYS_ADMIN".to_owned());
    });
    let running = pod.start()?;
    running.wait_for_lines(5)?;
    let (code, told, said) = running.exec(&["crik", "doctor", "--trial"])?;
    ensure!(code == Some(3) && told.contains("which a copy cannot have"), "{code:?} {told} {said}");
    ensure!(!told.contains("frozen"), "{told}");
    Ok(())
}
