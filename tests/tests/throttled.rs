//! The volume that is as slow as a network disk, by which `make bench-store` measures.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crik_tests::command::run;
use crik_tests::pod::Pod;
use crik_tests::throttled::ThrottledVolume;
use crik_tests::wait::wait_for;

const BYTES_PER_SECOND: u64 = 40_000_000;
const MEGABYTES: u64 = 60;

/// How long so much takes at least.
fn least() -> Duration {
    Duration::from_secs_f64((MEGABYTES << 20) as f64 / BYTES_PER_SECOND as f64 * 0.9)
}

#[test]
fn what_this_machine_writes_takes_as_long_as_the_disk_is_slow() -> Result<()> {
    let throttled = ThrottledVolume::new(200, BYTES_PER_SECOND)?;
    let began = Instant::now();
    let file = format!("of={}/file", throttled.volume.path().display());
    let count = format!("count={MEGABYTES}");
    let output = Command::new("dd").args(["if=/dev/zero", &file, "bs=1M", &count, "conv=fsync"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(began.elapsed() >= least(), "{:?}", began.elapsed());
    Ok(())
}

#[test]
fn what_a_pod_writes_and_reads_takes_as_long_too() -> Result<()> {
    let throttled = ThrottledVolume::new(200, BYTES_PER_SECOND)?;
    let script = format!(
        "read go; dd if=/dev/zero of=/checkpoints/file bs=1M count={MEGABYTES} conv=fsync; echo written; \
         read go; dd if=/checkpoints/file of=/dev/null bs=1M iflag=direct; echo read"
    );
    let pod = Pod::new(&throttled.volume, "node-a", &[]).with(|spec| {
        spec.command(&["sh", "-c", &script], &[]);
        spec.input = crik_tests::spec::Input::Pipe;
    });
    let mut running = pod.start()?;
    throttled.hold_up(&running)?;
    for said in ["written", "read"] {
        let began = Instant::now();
        running.type_in("go\n")?;
        running.stdout.wait_for(said)?;
        assert!(began.elapsed() >= least(), "{said}: {:?}", began.elapsed());
    }
    running.wait()?;
    Ok(())
}

#[test]
fn nothing_of_it_is_left() -> Result<()> {
    let throttled = ThrottledVolume::new(50, BYTES_PER_SECOND)?;
    let mount = throttled.volume.path().display().to_string();
    let is_there = |text: &str| text.contains(&mount);
    assert!(is_there(&fs::read_to_string("/proc/mounts")?));
    let disk = throttled.image().to_owned();
    drop(throttled);
    assert!(!is_there(&fs::read_to_string("/proc/mounts")?));
    assert!(!disk.exists());
    // Who has made a mount namespace meanwhile has it mounted there until that ends.
    wait_for("its device to go", || {
        let list = run("losetup", &["--list", "--noheadings", "--output", "BACK-FILE"]).ok()?;
        (!list.contains(&*disk.to_string_lossy())).then_some(())
    })
}
