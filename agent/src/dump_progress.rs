//! Watches a dump grow: tells in the log how far it is, and when it is hopeless.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Error, anyhow};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::{limits, pace, room};

/// How far a dump is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Bytes that are written.
    pub written: u64,
    /// Bytes that will be, about.
    pub expected: u64,
}

/// Returns once there is a reason to give up the dump into `staging`, of about `expected` bytes: the deadline is over, or
/// its pace says that it would not make it. Meanwhile tells in the log and in `progress` how far it is.
pub async fn watch(
    staging: &Path,
    expected: u64,
    deadline: Instant,
    progress: &watch::Sender<Progress>,
) -> Error {
    let (began, written) = (Instant::now(), follow(staging.join("criu")));
    let mut told = began;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        sleep(left.min(limits::PACE_POLL)).await;
        let (now, written) = (Instant::now(), written.load(Ordering::Relaxed));
        progress.send_replace(Progress { written, expected });
        if now >= deadline {
            return anyhow!("the dump would not be done within gracePeriod less reserve");
        }
        let left = deadline - now;
        if let Some(needed) = pace::hopeless_on_the_way(written, expected, began.elapsed(), left) {
            return too_slow(written, expected, needed, left);
        }
        if now - told >= limits::PROGRESS_PAUSE {
            told = now;
            tell(written, expected, began.elapsed());
        }
    }
}

fn too_slow(written: u64, expected: u64, needed: Duration, left: Duration) -> Error {
    anyhow!(
        "the volume is too slow: {} of {} are written, the rest would take {needed:.0?}, and {left:.0?} are left; raise \
         gracePeriod or use a faster volume",
        room::bytes(written),
        room::bytes(expected)
    )
}

fn tell(written: u64, expected: u64, elapsed: Duration) {
    let speed = written as f64 / elapsed.as_secs_f64();
    tracing::info!(
        step = "freeze",
        written,
        expected,
        "{} of about {} are written, {}/s",
        room::bytes(written),
        room::bytes(expected),
        room::bytes(speed as u64)
    );
}

/// Adds up the files in `images` again and again, in a thread of its own since the volume may hang, until nobody wants to
/// know any more.
fn follow(images: PathBuf) -> Arc<AtomicU64> {
    let written = Arc::new(AtomicU64::new(0));
    let wanted = Arc::downgrade(&written);
    spawn_blocking(move || {
        while wanted.strong_count() > 0 {
            let size = size(&images);
            Weak::upgrade(&wanted).iter().for_each(|written| written.store(size, Ordering::Relaxed));
            std::thread::sleep(limits::PACE_POLL);
        }
    });
    written
}

fn size(images: &Path) -> u64 {
    let entries = fs::read_dir(images).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}
