//! Into a bucket of a server on this machine, against the same bytes sent by S3's own client for Python.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use crik_tests::bucket::Bucket;
use crik_tests::build::workspace;
use crik_tests::measure::milliseconds;
use crik_tests::pod::Pod;
use crik_tests::story::started;
use crik_tests::tools::moto;
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

use crate::cycle::by_turns;
use crate::load::Load;
use crate::table::{Aim, Table};

/// Measures it, and tells.
///
/// # Errors
/// None: what goes wrong is told.
pub fn measure(megabytes: u32, table: &mut Table) -> Result<()> {
    let what = "random bytes, a bucket on this machine: stop, against boto3";
    match uploads(megabytes) {
        Ok([client, crik]) => table.row(megabytes, what, Some(client), crik, Aim::Times(1.2)),
        Err(error) => table.fail(megabytes, what, &error),
    }
    Ok(())
}

fn uploads(megabytes: u32) -> Result<[f64; 2]> {
    by_turns(|| {
        let bucket = Bucket::new()?;
        let crik = stop(&bucket, megabytes)?;
        Ok([again(&bucket)?, crik])
    })
}

/// SIGTERM to the end, which comes when the checkpoint is in the bucket.
fn stop(bucket: &Bucket, megabytes: u32) -> Result<f64> {
    let (volume, command) = (Volume::new()?, Load::Random.command(megabytes));
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let pod = bucket.pod(Pod::new(&volume, "node-a", &command)).config("gracePeriod: 5m");
    let mut running = started(&pod)?;
    running.stderr.wait_for("two small processes were dumped and restored for a trial")?;
    let began = Instant::now();
    running.signal(Signal::SIGTERM)?;
    let code = running.wait()?;
    ensure!(code == 143, "exit code {code}\n{}", running.transcript());
    Ok(milliseconds(began.elapsed()))
}

/// Sends what is there once more.
fn again(bucket: &Bucket) -> Result<f64> {
    let mut upload = Command::new(moto()?);
    let sent = upload
        .arg(workspace().join("tests/tools/moto/upload.py"))
        .args([bucket.endpoint(), "bucket"])
        .output()?;
    ensure!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    String::from_utf8_lossy(&sent.stdout).trim().parse().context("no time")
}
