//! Checkpoints are copied into another image directory, and the program goes on there.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use crik_tests::bucket::{Bucket, IMAGE_DIR};
use crik_tests::chain;
use crik_tests::crik::Told;
use crik_tests::pod::Pod;
use crik_tests::story::{SINGLE, checkpointed, moved, started};
use crik_tests::volume::Volume;

fn pod(volume: &Volume) -> Pod {
    Pod::new(volume, "node-a", &SINGLE).config("keepGenerations: 9")
}

fn image_dir(volume: &Volume) -> String {
    volume.path().join("job-0").display().to_string()
}

fn copy(bucket: &Bucket, words: &[&str]) -> Result<Told> {
    bucket.told(&[&["copy"], words].concat())
}

fn copied(bucket: &Bucket, words: &[&str]) -> Result<Told> {
    let told = copy(bucket, words)?;
    ensure!(told.code == Some(0) && told.out.contains("copied"), "{}{}", told.out, told.err);
    Ok(told)
}

#[test]
fn a_program_moves_from_a_volume_to_a_bucket_and_to_another_volume() -> Result<()> {
    let (bucket, before, after) = (Bucket::new()?, Volume::new()?, Volume::new()?);
    let mut said = vec![checkpointed(&pod(&before))?];
    copied(&bucket, &[&image_dir(&before), IMAGE_DIR])?;
    said.push(moved(&bucket.pod(pod(&before)), 1)?);
    copied(&bucket, &[IMAGE_DIR, &image_dir(&after)])?;
    said.push(moved(&pod(&after), 2)?);
    ensure!(before.generations("job-0").len() == 1, "something came back");
    chain::verify(&said).map(drop)
}

#[test]
fn a_checkpoint_takes_the_other_form_on_the_way() -> Result<()> {
    let bucket = Bucket::new()?;
    for (from, to) in [("plain", "chunks"), ("chunks", "plain")] {
        let (before, after) = (Volume::new()?, Volume::new()?);
        let first = checkpointed(&pod(&before).config(&format!("format: {from}")))?;
        copied(&bucket, &[&image_dir(&before), &image_dir(&after), "--format", to])?;
        let packs = after.path().join("job-0/packs").read_dir().map_or(0, Iterator::count);
        ensure!((packs > 0) == (to == "chunks"), "{packs} packs in {to}");
        chain::verify(&[first, moved(&pod(&after), 1)?])?;
    }
    Ok(())
}

#[test]
fn what_is_damaged_is_told_and_the_others_are_there() -> Result<()> {
    let (bucket, before, after) = (Bucket::new()?, Volume::new()?, Volume::new()?);
    let mut said = vec![checkpointed(&pod(&before))?];
    said.push(moved(&pod(&before), 1)?);
    let image = altered(&before.newest("job-0")?)?;
    let told = copy(&bucket, &[&image_dir(&before), &image_dir(&after)])?;
    ensure!(told.code == Some(1), "{}{}", told.out, told.err);
    ensure!(
        told.out.contains(&format!("its file criu/{image} was altered after the commit")),
        "{}",
        told.out
    );
    said.truncate(1);
    said.push(moved(&pod(&after), 1)?);
    chain::verify(&said).map(drop)
}

/// Changes a byte of the largest image, and returns its name.
fn altered(generation: &std::path::Path) -> Result<String> {
    let images = generation.join("criu").read_dir()?.map(|entry| Ok(entry?.path()));
    let images: Vec<PathBuf> = images.collect::<Result<_>>()?;
    let largest = images.into_iter().max_by_key(|path| path.metadata().map_or(0, |meta| meta.len()));
    let largest = largest.context("no images")?;
    let mut bytes = std::fs::read(&largest)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes)?;
    Ok(largest.file_name().context("no name")?.to_string_lossy().into_owned())
}

#[test]
fn what_is_there_is_neither_replaced_nor_taken_from_a_pod() -> Result<()> {
    let (bucket, before, after) = (Bucket::new()?, Volume::new()?, Volume::new()?);
    checkpointed(&pod(&before))?;
    let words = [&image_dir(&before)[..], &image_dir(&after)];
    copied(&bucket, &words)?;
    let again = copy(&bucket, &words)?;
    ensure!(again.code == Some(0) && again.out.contains("was there already"), "{}{}", again.out, again.err);
    let running = started(&pod(&after))?;
    let held = copy(&bucket, &words)?;
    ensure!(held.code == Some(75) && held.err.contains("held"), "{:?} {}", held.code, held.err);
    drop(running);
    let other = Volume::new()?;
    checkpointed(&pod(&other))?;
    let refused = copy(&bucket, &[&image_dir(&other), &image_dir(&before)])?;
    ensure!(refused.err.contains("has another checkpoint"), "{}", refused.err);
    ensure!(refused.code == Some(1), "{:?}", refused.code);
    let third = Volume::new()?;
    checkpointed(&pod(&third))?;
    moved(&pod(&third), 1)?;
    std::fs::remove_dir_all(third.path().join("job-0/generations/00000001"))?;
    let above = copy(&bucket, &[&image_dir(&before), &image_dir(&third)])?;
    ensure!(above.code == Some(1) && above.out.contains("has had newer ones"), "{}{}", above.out, above.err);
    let nowhere = copy(&bucket, &[&image_dir(&other), &image_dir(&other)])?;
    ensure!(nowhere.err.contains("name another image directory"), "{}", nowhere.err);
    Ok(())
}
