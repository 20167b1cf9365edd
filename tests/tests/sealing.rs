//! What is committed is made durable with as little waiting as the volume allows, and is what was staged.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crik_agent::base::headway::Headway;
use crik_agent::store::generation::seal::seal;
use crik_tests::faulty::Op;
use crik_tests::volume::Volume;

/// As far away as EFS or Azure Files are.
const ROUND_TRIP: Duration = Duration::from_millis(3);

/// As many as CRIU makes for a program of so many threads.
const FILES: usize = 2000;

fn staged() -> Result<Volume> {
    let volume = Volume::new()?;
    fs::create_dir(volume.path().join("criu"))?;
    for number in 0..FILES {
        fs::write(volume.path().join(format!("criu/core-{number}.img")), number.to_string())?;
    }
    Ok(volume)
}

#[test]
fn the_files_of_a_program_with_many_threads_are_sealed_at_the_same_time() -> Result<()> {
    let far = staged()?.far_copy()?;
    let faults = &far.faulty.faults;
    faults.set_round_trip(ROUND_TRIP);
    faults.count();
    let began = Instant::now();
    let files = seal(far.volume.path(), &Headway::default())?;
    let took = began.elapsed();
    let (ops, most) = (faults.ops(), faults.most_at_the_same_time());
    println!("{FILES} files at {ROUND_TRIP:?} a round trip: {took:.2?}, {most} operations at the same time");
    let count = |wanted: Op| ops.iter().filter(|op| **op == wanted).count();
    ensure!(most >= 16, "{most} operations at the same time");
    ensure!(count(Op::SetAttr) == 0, "{} modes were set", count(Op::SetAttr));
    ensure!(count(Op::FSync) == FILES, "{} files were made durable", count(Op::FSync));
    ensure!(count(Op::FSyncDir) == 2, "{} directories were made durable", count(Op::FSyncDir));
    for number in 0..FILES {
        let digest = &files[&format!("criu/core-{number}.img")];
        ensure!(digest.blake3 == blake3::hash(number.to_string().as_bytes()).to_hex().as_str());
    }
    Ok(())
}

#[test]
fn what_was_given_up_does_nothing_more_on_the_volume() -> Result<()> {
    let far = staged()?.far_copy()?;
    let faults = &far.faulty.faults;
    faults.set_round_trip(ROUND_TRIP);
    faults.count();
    let headway = Headway::default();
    std::thread::scope(|scope| {
        let sealing = scope.spawn(|| seal(far.volume.path(), &headway));
        crik_tests::wait::wait_for("some files to be sealed", || (headway.moved() > 100).then_some(()))?;
        headway.give_up();
        let sealed = sealing.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
        ensure!(sealed.is_err(), "all of it was sealed");
        let ops = faults.ops();
        let synced = ops.iter().filter(|op| **op == Op::FSync).count();
        println!("{synced} of {FILES} files were sealed");
        ensure!(synced < FILES && !ops.contains(&Op::FSyncDir), "{synced}");
        Ok(())
    })
}
