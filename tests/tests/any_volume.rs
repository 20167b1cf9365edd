//! What a volume does not keep need not matter, and what it cannot do is said while there is time.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::faulty::Manners;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::bind;
use crik_tests::story::{
    CHECKPOINTED, SINGLE, STEPS, checkpointed, ends_with, resumes, started, starts_fresh, stops_in_order,
};
use crik_tests::table::Table;
use crik_tests::volume::{FaultyVolume, Volume};
use crik_tests::wait::wait_for;

fn like(manners: Manners) -> Result<FaultyVolume> {
    let volume = Volume::new()?.faulty_copy()?;
    volume.faulty.faults.behave(manners);
    Ok(volume)
}

/// Three moves, so that what was restored is dumped again twice.
fn moves(pod: &Pod) -> Result<String> {
    let outputs: Vec<String> = (0..4).map(|_| checkpointed(pod)).collect::<Result<_>>()?;
    Ok(format!("{} steps over 4 pods", chain::verify(&outputs)?))
}

#[test]
fn a_program_goes_on_over_a_volume_that_keeps_less_than_a_disk() -> Result<()> {
    let mut table = Table::new("volumes that keep less than a disk");
    let named = "additionalPaths: [/opt/named]";
    // Names that differ in capitals only, a hole, and a file of two names; the program looks at them all the time.
    let make = "test -e /opt/named || { mkdir -p /opt/named; cd /opt/named; echo upper > A; echo lower > a; chmod 4711 A; \
                chown 7:8 a; truncate -s 1T hole; ln A again; }; exec \"$@\"";
    for (name, manners) in [("one owner, no chown", Manners::OneOwner), ("as SMB", Manners::Smb)] {
        table.case(&format!("{name}: all that can be in a file system"), || {
            let volume = like(manners)?;
            let made = ["python3", "/programs/made.py"];
            moves(&Pod::new(&volume.volume, "node-a", &made).empty_dir("/scratch").memory_dir("/memory"))
        });
        table.case(&format!("{name}: additionalPaths"), || {
            let volume = like(manners)?;
            let command = [&["sh", "-c", make, "sh"][..], &SINGLE].concat();
            let pod = Pod::new(&volume.volume, "node-a", &command).config(named);
            let moved = moves(&pod)?;
            let last = started(&pod)?;
            resumes(&last, 4)?;
            let look = "cd /opt/named; cat A a; stat -c '%n %a %u:%g %h' A a again; stat -c '%s %b' hole";
            let (_, found, said) = last.exec(&["sh", "-c", look])?;
            let expected = "upper\nlower\nA 4711 0:0 2\na 644 7:8 1\nagain 4711 0:0 2\n1099511627776 0\n";
            ensure!(found == expected, "{found}{said}");
            Ok(moved)
        });
    }
    table.finish()
}

#[test]
fn a_directory_that_is_used_for_something_else_is_refused_and_left_as_it_is() -> Result<()> {
    let volume = Volume::new()?;
    let theirs = ["staging/a", "staging-2026-11/a", "removing-me/a", "generations/00000001/a", "model.bin"];
    for name in theirs {
        let path = volume.path().join("data").join(name);
        fs::create_dir_all(path.parent().context("no parent")?)?;
        fs::write(path, name)?;
    }
    let pod = Pod::new(&volume, "node-a", &SINGLE).only_config("imageDir: /checkpoints/data");
    let mut running = started(&pod)?;
    starts_fresh(&running)?;
    running
        .stderr
        .wait_for("imageDir /checkpoints/data has something in it that is not crik's (model.bin)")?;
    running
        .stderr
        .wait_for("give crik a directory of its own, such as /checkpoints/data/crik-${POD_NAME}")?;
    stops_in_order(&mut running, 0)?;
    for name in theirs {
        ensure!(fs::read_to_string(volume.path().join("data").join(name))? == name, "{name}");
    }
    ensure!(fs::read_dir(volume.path().join("data"))?.count() == 5, "something was made there");
    Ok(())
}

#[test]
fn a_volume_that_takes_files_from_who_has_them_open_is_told_and_serves() -> Result<()> {
    let volume = like(Manners::Forgetful)?;
    let pod = Pod::new(&volume.volume, "node-a", &SINGLE);
    let mut first = started(&pod)?;
    first
        .stderr
        .wait_for("the volume takes a file from who has it open when it is renamed or removed (ESTALE)")?;
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn a_volume_that_cannot_rename_directories_keeps_nothing_from_starting() -> Result<()> {
    let volume = like(Manners::Bucket)?;
    let mut running = started(&Pod::new(&volume.volume, "node-a", &SINGLE))?;
    starts_fresh(&running)?;
    running.stderr.wait_for("the volume cannot rename a directory with something in it")?;
    running
        .stderr
        .wait_for("buckets that are mounted as directories (GCS FUSE, Mountpoint for Amazon S3) cannot")?;
    stops_in_order(&mut running, 0)
}

#[test]
fn a_volume_on_which_two_pods_could_go_on_from_one_checkpoint_is_told() -> Result<()> {
    let volume = like(Manners::Careless)?;
    let mut running = started(&Pod::new(&volume.volume, "node-a", &SINGLE))?;
    let told = "the volume makes a file that is there already (O_EXCL), so that two pods could go on from one checkpoint; use another";
    running.stderr.wait_for(&format!("{NO_CHECKPOINT}: {told}")).with_context(|| running.transcript())?;
    running.stop().map(drop)
}

/// It has been one at the start, or the agent would not have gone so far.
#[test]
fn a_volume_that_makes_nothing_durable_is_told_and_gets_no_checkpoint() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    let running = settled(&Pod::new(&volume.volume, "node-a", &SINGLE))?;
    volume.faulty.faults.behave(Manners::Volatile);
    let (code, told, said) = running.exec(&["crik", "doctor"])?;
    let lack =
        "the volume cannot make a file durable (fsync: Input/output error (os error 5)); use another kind";
    ensure!(code != Some(0) && told.contains(lack), "{told}{said}");
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code != Some(0) && said.contains("Input/output error"), "{code:?} {said}");
    ensure!(volume.backing.generations("job-0").is_empty(), "{}", running.transcript());
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)
}

const NO_CHECKPOINT: &str = "no checkpoint can be taken here";

/// The agent has done all that it does beside the application.
fn settled(pod: &Pod) -> Result<Running> {
    let running = started(pod)?;
    running.stderr.wait_for("the volume takes about").with_context(|| running.transcript())?;
    Ok(running)
}

#[test]
fn what_is_well_is_tried_in_silence_and_nothing_of_the_trial_stays() -> Result<()> {
    let mut table = Table::new("a start's trial where all is well");
    let volumes =
        [("a disk", None), ("one owner, no chown", Some(Manners::OneOwner)), ("as SMB", Some(Manners::Smb))];
    for (name, manners) in volumes {
        table.case(name, || {
            let volume = Volume::new()?.faulty_copy()?;
            manners.into_iter().for_each(|manners| volume.faulty.faults.behave(manners));
            let running = settled(&Pod::new(&volume.volume, "node-a", &SINGLE))?;
            let said = running.stderr.text();
            ensure!(!said.contains("WARN") && !said.contains(NO_CHECKPOINT), "{said}");
            let names: Vec<String> = running.processes().iter().map(|process| process.name.clone()).collect();
            ensure!(names.len() == 3, "{names:?}");
            let holds: Vec<_> = fs::read_dir(volume.backing.path().join("job-0/holders"))?.collect();
            ensure!(holds.len() == 1, "{holds:?}");
            Ok("nothing is said, 3 processes".to_owned())
        });
    }
    table.finish()
}

#[test]
fn what_criu_cannot_do_here_is_said_at_the_start() -> Result<()> {
    let volume = Volume::new()?;
    // The real CRIU, where it may write no files of more than two KiB.
    let script = volume.path().join("criu");
    fs::write(&script, "#!/bin/sh\nulimit -f 4\nexec /usr/sbin/criu \"$@\"\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .with(|spec| spec.mounts.push(bind(&script, "/usr/local/sbin/criu", "ro")));
    let mut running = settled(&pod)?;
    running.stderr.wait_for("a trial dump of two small processes failed: criu failed: ")?;
    ensure!(running.stderr.text().contains(NO_CHECKPOINT), "{}", running.transcript());
    stops_in_order(&mut running, 0)
}

#[test]
fn a_stop_in_the_midst_of_the_trial_does_not_wait_for_it() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let mut running = pod.start()?;
    wait_for("the trial", || running.processes().iter().any(|process| process.name == "exe").then_some(()))?;
    ends_with(&mut running, CHECKPOINTED)?;
    ensure!(!running.stderr.text().contains(NO_CHECKPOINT), "{}", running.transcript());
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

#[test]
fn a_directory_that_everybody_can_write_is_told() -> Result<()> {
    let volume = Volume::new()?;
    let path = volume.path().join("job-0");
    fs::create_dir(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    let running = settled(&Pod::new(&volume, "node-a", &SINGLE))?;
    running.stderr.wait_for("imageDir /checkpoints/job-0 can be written by everybody (mode 0777)")?;
    ensure!(!running.stderr.text().contains(NO_CHECKPOINT), "{}", running.transcript());
    Ok(())
}
