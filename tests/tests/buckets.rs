//! Checkpoints in a bucket, of a real S3 server: a pod needs no volume, and what holds on a volume holds there.

use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::bucket::{AZURE_IMAGE_DIR, Bucket};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{
    CHECKPOINTED, SINGLE, checkpointed, ends_with, moved, resumes, started, starts_fresh,
};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::json;

/// Megabytes that a larger program has, which are several parts of a pack.
const MEGABYTES: &str = "24";

fn pod(bucket: &Bucket, volume: &Volume) -> Pod {
    bucket.pod(Pod::new(volume, "node-a", &SINGLE)).config("claimExpiry: 5s")
}

fn larger(bucket: &Bucket, volume: &Volume) -> Pod {
    let command = ["python3", "/programs/memory.py", MEGABYTES];
    bucket.pod(Pod::new(volume, "node-a", &command)).config("claimExpiry: 5s")
}

/// The objects that have contents of files.
fn blobs(bucket: &Bucket) -> Result<Vec<String>> {
    bucket.objects("checkpoints/job-0/blobs/")
}

#[test]
fn a_program_goes_on_in_the_next_pod_without_any_volume() -> Result<()> {
    let bucket = Bucket::new()?;
    goes_on_in(&bucket)?;
    let listed = bucket.crik(&["list"])?;
    ensure!(listed.code == Some(0) && listed.out.contains("next"), "{}{}", listed.out, listed.err);
    Ok(())
}

#[test]
fn so_it_does_in_azure() -> Result<()> {
    let bucket = Bucket::azure()?;
    goes_on_in(&bucket)?;
    let listed = bucket.told(&["list", "--image-dir", AZURE_IMAGE_DIR])?;
    ensure!(listed.code == Some(0) && listed.out.contains("next"), "{}{}", listed.out, listed.err);
    let collected = bucket.told(&["gc", "--keep", "1", "--image-dir", AZURE_IMAGE_DIR])?;
    ensure!(collected.out.contains("are freed"), "{}{}", collected.out, collected.err);
    Ok(())
}

#[test]
fn over_tls_an_authority_is_believed_that_the_pod_names_and_no_other() -> Result<()> {
    let (bucket, volume) = (Bucket::over_tls()?, Volume::new()?);
    let pod = pod(&bucket, &volume);
    checkpointed(&pod)?;
    resumes(&started(&pod)?, 1)?;
    let doubting = pod.with(|spec| spec.env("AWS_CA_BUNDLE", "")).start()?;
    doubting.stderr.wait_for("certificate").with_context(|| doubting.transcript())?;
    ensure!(doubting.stdout.text().is_empty(), "{}", doubting.transcript());
    Ok(())
}

#[test]
fn what_the_environment_lacks_is_told_and_costs_no_more_than_a_volume_that_is_away() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = pod(&bucket, &volume).config("onVolumeUnavailable: fresh\nvolumeTimeout: 1s");
    let pod = pod.with(|spec| spec.env("AWS_CA_BUNDLE", "/nowhere/ca.crt"));
    let running = started(&pod)?;
    running.stderr.wait_for("/nowhere/ca.crt").with_context(|| running.transcript())
}

/// Memory that fills the node's disk would cost the pod.
#[test]
fn a_trial_for_which_there_is_no_room_beside_the_program_is_refused() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let memory = json!({"type": "tmpfs", "source": "tmpfs", "destination": "/run/crik", "options": ["mode=1777", "size=16m"]});
    let small = larger(&bucket, &volume).with(|spec| spec.mounts.push(memory));
    let running = started(&small)?;
    let pod =
        json!({"kind": "Pod", "metadata": {"name": "job-0"}, "spec": {"containers": [{"name": "app"}]}});
    let (code, told, said) =
        running.exec(&["sh", "-c", &format!("echo '{pod}' | crik doctor --trial --manifest")])?;
    let is_told = code != Some(0) && said.contains("mount an emptyDir there");
    ensure!(is_told, "{told}{said}\n{}", running.transcript());
    running.wait_for_lines(running.stdout.text().lines().count() + 20)
}

#[test]
fn credentials_may_be_in_a_file() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = bucket.pod_with_file(Pod::new(&volume, "node-a", &SINGLE)).config("claimExpiry: 5s");
    checkpointed(&pod)?;
    resumes(&started(&pod)?, 1)
}

fn goes_on_in(bucket: &Bucket) -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(bucket, &volume);
    let mut first = started(&pod)?;
    first.stderr.wait_for("two small processes were dumped and restored for a trial")?;
    ends_with(&mut first, CHECKPOINTED)?;
    let mut said = vec![first.stdout.text()];
    for moves in 1..3 {
        said.push(moved(&pod, moves)?);
    }
    chain::verify(&said)?;
    ensure!(volume.generations("job-0").is_empty(), "something is on the volume");
    Ok(())
}

#[test]
fn memory_is_written_in_parts_and_what_is_there_already_is_not_written_again() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = larger(&bucket, &volume);
    checkpointed(&pod)?;
    let first = blobs(&bucket)?.len();
    ensure!(first >= 4, "{first} objects");
    resumes(&started(&pod)?, 1)?;
    checkpointed(&pod)?;
    let json = bucket.crik(&["list", "--output", "json"])?.out;
    let list: serde_json::Value = serde_json::from_str(&json)?;
    let [bytes, new] = ["bytes", "newBytes"].map(|name| list["generations"][0][name].as_u64().unwrap_or(0));
    ensure!(bytes > 24 << 20 && new < bytes / 3, "{new} of {bytes} are new");
    ensure!(bucket.asked()?.iter().all(|line| !line.contains("uploads")), "there are uploads in parts");
    Ok(())
}

#[test]
fn a_person_lists_inspects_verifies_and_collects() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = pod(&bucket, &volume).config("keepGenerations: 9");
    for moves in 0..3 {
        let mut running = started(&pod)?;
        if moves > 0 {
            resumes(&running, moves)?;
        }
        running.stop()?;
    }
    let verified = bucket.crik(&["verify"])?;
    ensure!(verified.code == Some(0) && verified.out.contains("whole"), "{}{}", verified.out, verified.err);
    let inspected = bucket.crik(&["inspect"])?;
    ensure!(inspected.out.contains("python3"), "{}{}", inspected.out, inspected.err);
    let read = bucket.crik(&["cat", "generations/00000001/manifest.json"])?;
    let manifest: serde_json::Value = serde_json::from_str(&read.out).with_context(|| read.err)?;
    ensure!(manifest["generation"] == 1, "{manifest}");
    let nothing = bucket.crik(&["cat", "generations/../names"])?;
    ensure!(nothing.code == Some(1) && nothing.err.contains("cannot read"), "{}", nothing.err);
    let before = blobs(&bucket)?.len();
    let collected = bucket.crik(&["gc", "--keep", "1"])?;
    ensure!(collected.out.contains("are freed"), "{}{}", collected.out, collected.err);
    ensure!(blobs(&bucket)?.len() < before, "{:?}", blobs(&bucket)?);
    resumes(&started(&pod)?, 3)
}

#[test]
fn a_store_that_does_not_write_on_conditions_is_refused_with_the_remedy() -> Result<()> {
    let (bucket, volume) = (Bucket::careless()?, Volume::new()?);
    let running = pod(&bucket, &volume).start()?;
    running.stderr.wait_for("it does not write on conditions").with_context(|| running.transcript())?;
    running.stderr.wait_for("use a store that does: Amazon S3")
}

#[test]
fn an_altered_object_is_found_and_the_checkpoint_is_not_resumed() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = larger(&bucket, &volume);
    checkpointed(&pod)?;
    bucket.alter(blobs(&bucket)?.last().context("no objects")?)?;
    let running = started(&pod)?;
    starts_fresh(&running)?;
    running.stderr.wait_for("was altered after the commit")
}

#[test]
fn of_five_pods_at_once_one_goes_on() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = pod(&bucket, &volume).config("onClaimed: fail");
    checkpointed(&pod)?;
    let mut running: Vec<Running> = scope(|threads| {
        let starts: Vec<_> = (0..5).map(|_| threads.spawn(|| pod.replacement().start())).collect();
        starts.into_iter().map(|start| start.join().expect("a start panicked")).collect::<Result<_>>()
    })?;
    let resumed = |one: &Running| one.stderr.text().contains("restored generation 00000001");
    for one in &mut running {
        wait_for("a pod to resume or to exit", || (resumed(one) || one.poll().is_some()).then_some(()))
            .with_context(|| one.state())?;
        ensure!(!one.stderr.text().contains("starts fresh"), "{}", one.transcript());
    }
    let winners = running.iter().filter(|one| resumed(one)).count();
    ensure!(winners == 1, "{winners} pods resumed");
    Ok(())
}

#[test]
fn requests_that_fail_once_are_made_again() -> Result<()> {
    for (what, method) in
        [("500", "PUT"), ("503", "PUT"), ("reset", "PUT"), ("lost", "PUT"), ("torn", "GET"), ("reset", "GET")]
    {
        let (bucket, volume) = (Bucket::new()?, Volume::new()?);
        let pod = larger(&bucket, &volume);
        let mut running = started(&pod)?;
        bucket.fail(what, method, (3, 2))?;
        let code = running.stop()?;
        ensure!(code == 143, "{what} of {method}\n{}", running.transcript());
        bucket.fail(what, method, (3, 2))?;
        resumes(&started(&pod)?, 1).with_context(|| format!("{what} of {method}"))?;
    }
    Ok(())
}

#[test]
fn a_program_whose_credentials_have_expired_goes_on_until_it_is_stopped_and_says_why() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = pod(&bucket, &volume);
    let mut running = started(&pod)?;
    bucket.fail("expired", "PUT", (0, usize::from(u16::MAX)))?;
    running.stop()?;
    let told = running.stderr.text();
    ensure!(told.contains("no checkpoint; the application is told to stop"), "{}", running.transcript());
    ensure!(told.contains("403") || told.contains("ermission"), "{}", running.transcript());
    Ok(())
}

#[test]
fn a_bucket_that_lets_nothing_be_removed_is_told_with_the_remedy_and_keeps_checkpoints() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    // As S3 is asked to remove objects.
    bucket.fail("denied", "POST", (0, usize::from(u16::MAX)))?;
    let pod = pod(&bucket, &volume);
    let mut running = started(&pod)?;
    running
        .stderr
        .wait_for("allow s3:DeleteObject on checkpoints/job-0/*")
        .with_context(|| running.transcript())?;
    ensure!(running.stop()? == 143, "{}", running.transcript());
    resumes(&started(&pod)?, 1)
}

#[test]
fn a_start_waits_for_a_bucket_that_does_not_answer() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let pod = pod(&bucket, &volume);
    checkpointed(&pod)?;
    bucket.fail("503", "GET", (0, 40))?;
    let running = pod.start()?;
    running.stderr.wait_for("waiting for the volume").with_context(|| running.transcript())?;
    resumes(&running, 1)
}

#[test]
fn requests_that_are_never_answered_take_no_more_than_the_grace_period() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let running = started(&pod(&bucket, &volume).config("gracePeriod: 8s\nreserve: 3s"))?;
    bucket.fail("hang", "PUT", (0, usize::from(u16::MAX)))?;
    let told = Instant::now();
    running.signal(Signal::SIGTERM)?;
    running.stdout.wait_for("goodbye")?;
    ensure!(told.elapsed() < Duration::from_secs(8), "{:?}\n{}", told.elapsed(), running.transcript());
    Ok(())
}
