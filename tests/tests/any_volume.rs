//! What a volume does not keep need not matter, and what it cannot do is said while there is time.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::faulty::Manners;
use crik_tests::pod::Pod;
use crik_tests::story::{SINGLE, checkpointed, resumes, started, starts_fresh, stops_in_order};
use crik_tests::table::Table;
use crik_tests::volume::{FaultyVolume, Volume};

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
            moves(&Pod::new(&volume.volume, "node-a", &made).empty_dir("/scratch"))
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
fn a_volume_that_cannot_rename_directories_keeps_nothing_from_starting() -> Result<()> {
    let volume = like(Manners::Bucket)?;
    let mut running = started(&Pod::new(&volume.volume, "node-a", &SINGLE))?;
    starts_fresh(&running)?;
    stops_in_order(&mut running, 0)
}
