//! What is committed is made durable with as little waiting as the volume allows, and is what was staged; and is verified so.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_agent::base::headway::Headway;
use crik_store::generation::digest::FileDigest;
use crik_store::generation::manifest::Manifest;
use crik_store::generation::seal::seal;
use crik_store::generation::verify;
use crik_store::image_dir::Generation;
use crik_tests::faulty::Op;
use crik_tests::pod::Pod;
use crik_tests::story::{SINGLE, checkpointed};
use crik_tests::volume::{FaultyVolume, Volume};

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

/// The generation of a program, with as many files more as one of many threads has.
fn committed() -> Result<(FaultyVolume, Manifest)> {
    let volume = Volume::new()?;
    checkpointed(&Pod::new(&volume, "node-a", &SINGLE))?;
    let generation = volume.newest("job-0")?;
    let mut manifest = Manifest::read(&generation, Generation(1), None)?;
    for number in 0..FILES {
        let (name, contents) = (format!("criu/thread-{number}.img"), number.to_string());
        fs::write(generation.join(&name), &contents)?;
        let blake3 = blake3::hash(contents.as_bytes()).to_hex().to_string();
        manifest.files.insert(name, FileDigest { size: contents.len() as u64, blake3 });
    }
    Ok((volume.far_copy()?, manifest))
}

#[test]
fn the_files_of_a_program_with_many_threads_are_verified_at_the_same_time() -> Result<()> {
    let (far, manifest) = committed()?;
    let (generation, faults) = (far.volume.newest("job-0")?, &far.faulty.faults);
    faults.set_round_trip(ROUND_TRIP);
    faults.count();
    let began = Instant::now();
    let read = AtomicU64::new(0);
    let done = |bytes| {
        read.fetch_add(bytes, Ordering::Relaxed);
    };
    verify::files(&generation, &manifest, &done)?;
    let (took, ops, most) = (began.elapsed(), faults.ops(), faults.most_at_the_same_time());
    let serial = ROUND_TRIP * u32::try_from(ops.len())?;
    println!(
        "{FILES} files at {ROUND_TRIP:?} a round trip: {took:.2?}, {most} at the same time; {serial:.2?} in turn"
    );
    ensure!(most >= 16, "{most} operations at the same time");
    ensure!(read.into_inner() == manifest.total_bytes(), "not all was read");
    // What one thread finds is what all of them say, and the threads of a start do the same.
    fs::write(generation.join(format!("criu/thread-{}.img", FILES / 2)), "forged")?;
    let found = verify::images(&generation, &manifest, &Headway::default());
    let told = found.err().context("it is not noticed")?.to_string();
    ensure!(told.contains(&format!("thread-{}.img was altered", FILES / 2)), "{told}");
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
