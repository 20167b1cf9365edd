//! A program goes on that has a file of a ConfigMap or a Secret open, although the next pod has it under another name; with other
//! contents only where that is no harm.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, checkpointed, ends_with, resumes, started, starts_fresh};
use crik_tests::volume::Volume;

/// A script of so many lines, each read when the one before is done: bash has it open until it ends.
fn script(lines: std::ops::RangeInclusive<usize>, word: &str) -> String {
    lines.map(|number| format!("echo {word} {number}\nsleep 0.05\n")).collect()
}

/// Longer than any test reads.
const LINES: usize = 2000;

/// Runs the script in a ConfigMap, as batch jobs do.
fn job(volume: &Volume, script: &str) -> Pod {
    Pod::new(volume, "node-a", &["bash", "/scripts/run.sh"])
        .config_map("/scripts", &[("run.sh", script), ("other.sh", "exit 9")])
        .config("claimExpiry: 1s")
}

/// The numbers of the lines that a job wrote, in all its pods.
fn numbers(outputs: &[String], word: &str) -> Vec<usize> {
    let lines = outputs.iter().flat_map(|output| output.lines());
    lines.filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
}

/// Expects that no line was left out or done again.
fn in_order(outputs: &[String], word: &str) -> Result<()> {
    let numbers = numbers(outputs, word);
    ensure!(numbers.iter().copied().eq(1..=numbers.len()), "{numbers:?}");
    Ok(())
}

#[test]
fn a_script_that_a_shell_holds_open_goes_on_through_three_pods() -> Result<()> {
    let volume = Volume::new()?;
    let pod = job(&volume, &script(1..=LINES, "line"));
    let mut outputs = vec![checkpointed(&pod)?];
    for generation in 1..=2 {
        let mut next = started(&pod)?;
        resumes(&next, generation)?;
        ends_with(&mut next, CHECKPOINTED)?;
        outputs.push(next.stdout.text());
    }
    in_order(&outputs, "line")
}

#[test]
fn what_was_edited_beyond_what_is_read_is_followed() -> Result<()> {
    let volume = Volume::new()?;
    let first = checkpointed(&job(&volume, &script(1..=LINES, "line")))?;
    let read = numbers(&[first], "line").len();
    // Far enough from where the first pod was stopped, and near enough to be waited for.
    let (same, edited) = (script(1..=read + 10, "line"), script(read + 11..=LINES + 7, "edited"));
    let second = started(&job(&volume, &(same + &edited)))?;
    resumes(&second, 1)?;
    second.stderr.wait_for("has other contents than at the checkpoint; the program goes on with them")?;
    second.stdout.wait_for(&format!("edited {}", read + 12))
}

fn starts_fresh_since(running: &Running, reasons: &[&str]) -> Result<()> {
    starts_fresh(running)?;
    reasons.iter().try_for_each(|reason| running.stderr.wait_for(reason))
}

#[test]
fn what_was_edited_in_the_part_that_is_read_starts_fresh() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&job(&volume, &script(1..=LINES, "line")))?;
    let second = started(&job(&volume, &script(1..=LINES, "longer line")))?;
    starts_fresh_since(
        &second,
        &["/run.sh open, and /scripts/..2", "in the part that the program has read already", "is skipped"],
    )?;
    second.stdout.wait_for("longer line 3")
}

#[test]
fn any_edit_starts_fresh_where_that_is_wanted() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&job(&volume, &script(1..=LINES, "line")))?;
    let edited = script(1..=LINES, "line") + "echo the end\n";
    let second = started(&job(&volume, &edited).config("changedFiles: refuse"))?;
    starts_fresh_since(&second, &["/run.sh open, and /scripts/..2", "or see changedFiles"])
}

#[test]
fn a_key_that_is_gone_is_named_and_the_program_starts_fresh() -> Result<()> {
    let volume = Volume::new()?;
    let hold = ["bash", "-c", "exec 7< /data/input; exec bash /scripts/run.sh"];
    let pod = |files: &[(&str, &str)]| {
        Pod::new(&volume, "node-a", &hold)
            .config_map("/scripts", &[("run.sh", &script(1..=LINES, "line"))])
            .config_map("/data", files)
            .config("claimExpiry: 1s")
    };
    checkpointed(&pod(&[("input", "some"), ("more", "x")]))?;
    let second = pod(&[("more", "x")]).start()?;
    starts_fresh_since(
        &second,
        &["/input open, and this pod has no /data/..2", "keep the key in the ConfigMap"],
    )
}

/// A program that has a Secret's file mapped and open, and is in its directory.
const HOLDS: &str = "
import mmap, os, sys
sys.path.insert(0, '/programs')
os.chdir('/keys/..data')
held = open('key', 'rb')
mapped = mmap.mmap(held.fileno(), 0, prot=mmap.PROT_READ)
from steps import Steps, fail
import select
steps = Steps()
while True:
    select.select([], [], [], 0.01)
    if mapped[:] != b'secret' or os.pread(held.fileno(), 99, 0) != b'secret':
        fail('the key is another one')
    if open('key').read() != 'secret':
        fail('the directory is another one')
    steps.step()
";

fn holder(volume: &Volume, key: &str) -> Pod {
    Pod::new(volume, "node-a", &["python3", "-c", HOLDS])
        .secret("/keys", &[("key", key)])
        .config("claimExpiry: 1s")
}

#[test]
fn what_is_mapped_of_a_secret_and_a_directory_of_it_go_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = holder(&volume, "secret");
    let first = checkpointed(&pod)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn what_is_mapped_is_never_another_one() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&holder(&volume, "secret"))?;
    let second = holder(&volume, "secre2").start()?;
    starts_fresh_since(&second, &["in the part that the program has read already"])
}

/// Checkpoints a pod whose ConfigMap is updated while its program has it open.
fn checkpointed_after_update(pod: &Pod, path: &str, files: &[(&str, &str)]) -> Result<String> {
    let mut running = started(pod)?;
    running.update(path, files)?;
    ends_with(&mut running, CHECKPOINTED)?;
    Ok(running.stdout.text())
}

#[test]
fn a_script_that_was_updated_while_a_shell_holds_it_open_goes_on_as_it_was_through_three_pods() -> Result<()>
{
    let volume = Volume::new()?;
    let (before, after) = (script(1..=LINES, "line"), script(1..=LINES, "other"));
    let first = job(&volume, &before);
    let mut outputs =
        vec![checkpointed_after_update(&first, "/scripts", &[("run.sh", &after), ("other.sh", "exit 9")])?];
    for generation in 1..=2 {
        // What the next pods get is what was updated.
        let mut next = started(&job(&volume, &after))?;
        resumes(&next, generation)?;
        ends_with(&mut next, CHECKPOINTED)?;
        outputs.push(next.stdout.text());
        ensure!(!next.stdout.text().contains("other"), "{}", next.transcript());
    }
    in_order(&outputs, "line")
}

#[test]
fn a_script_that_was_updated_to_what_it_was_goes_on_where_no_edit_is_wanted() -> Result<()> {
    let volume = Volume::new()?;
    let same = script(1..=LINES, "line");
    let pod = job(&volume, &same).config("changedFiles: refuse");
    let first = checkpointed_after_update(&pod, "/scripts", &[("run.sh", &same), ("other.sh", "exit 8")])?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    in_order(&[first, second.stdout.text()], "line")
}

#[test]
fn a_script_that_was_updated_starts_fresh_where_no_edit_is_wanted() -> Result<()> {
    let volume = Volume::new()?;
    let after = script(1..=LINES, "other");
    let pod = job(&volume, &script(1..=LINES, "line")).config("changedFiles: refuse");
    checkpointed_after_update(&pod, "/scripts", &[("run.sh", &after), ("other.sh", "exit 9")])?;
    let second = started(&job(&volume, &after).config("changedFiles: refuse"))?;
    starts_fresh_since(
        &second,
        &["/run.sh open, and /scripts/..2", "has other contents", "or see changedFiles"],
    )?;
    second.stdout.wait_for("other 3")
}

#[test]
fn what_is_mapped_of_a_secret_that_was_updated_and_its_directory_stay_what_they_were() -> Result<()> {
    const HOLDS_WHAT_IS_GONE: &str = "
import mmap, os, select, sys
sys.path.insert(0, '/programs')
os.chdir('/keys/..data')
held = open('key', 'rb')
mapped = mmap.mmap(held.fileno(), 0, prot=mmap.PROT_READ)
from steps import Steps, fail
steps = Steps()
while True:
    select.select([], [], [], 0.01)
    if mapped[:] != b'secret' or os.pread(held.fileno(), 99, 0) != b'secret':
        fail('the key is another one')
    steps.step()
";
    let volume = Volume::new()?;
    let pod = |key: &str| {
        Pod::new(&volume, "node-a", &["python3", "-c", HOLDS_WHAT_IS_GONE])
            .secret("/keys", &[("key", key)])
            .config("claimExpiry: 1s")
    };
    let first = checkpointed_after_update(&pod("secret"), "/keys", &[("key", "renewed")])?;
    let second = started(&pod("renewed"))?;
    resumes(&second, 1)?;
    second
        .stderr
        .wait_for("was updated after the program had opened it; it goes on with what it has open")?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}
