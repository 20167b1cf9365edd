//! Watches a dump grow: tells in the log how far it is, and when it is hopeless.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Error, anyhow};
use crik_store::image_dir::layout;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::base::{limits, units};
use crate::checkpoint::forecast::{self, Pace};
use crate::tree::criu;

/// How far a dump is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Bytes that are written.
    pub written: u64,
    /// Bytes that will be, about.
    pub expected: u64,
}

/// Until when a dump may go on.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// The moment.
    pub at: Instant,
    /// What a person can raise.
    pub key: &'static str,
    /// Bytes per second from the beginning to the commit, if that must be done by then too.
    pub whole: Option<f64>,
}

/// Returns once there is a reason to give up the dump into `staging`, of about `expected` bytes, of which so many went into streams
/// (`streamed`): its time is over, or its pace says that it would not make it. Meanwhile tells in the log and in `progress` how far it is.
pub async fn watch(
    (staging, streamed): (&Path, Arc<AtomicU64>),
    expected: u64,
    until: Until,
    progress: &watch::Sender<Progress>,
) -> Error {
    let (began, written) = (Instant::now(), follow(staging.to_owned(), streamed));
    let (mut told, mut lately) = (began, Lately::new(began));
    loop {
        let left = until.at.saturating_duration_since(Instant::now());
        sleep(left.min(limits::PACE_POLL)).await;
        let (now, written) = (Instant::now(), written.load(Ordering::Relaxed));
        progress.send_replace(Progress { written, expected });
        let recent = lately.speed(now, written);
        let pace = Pace { written, expected, elapsed: now - began, recent, whole: until.whole };
        if now >= until.at {
            return anyhow!("the dump would not be done in time; raise {} or use a faster volume", until.key);
        }
        let left = until.at - now;
        if let Some(needed) = forecast::hopeless_on_the_way(&pace, left) {
            return too_slow(&pace, until.key, needed, left);
        }
        if now - told >= limits::PROGRESS_PAUSE {
            told = now;
            tell(&pace);
        }
    }
}

fn too_slow(pace: &Pace, key: &str, needed: Duration, left: Duration) -> Error {
    if pace.written == 0 {
        return anyhow!(
            "the volume does not answer or is too slow: nothing of {} is written after {:.0?}, and {left:.0?} are left; raise {key} \
             or use a faster volume",
            units::bytes(pace.expected),
            pace.elapsed
        );
    }
    anyhow!(
        "the volume is too slow: {} of {} are written, the rest would take {needed:.0?}, and {left:.0?} are left; raise \
         {key} or use a faster volume",
        units::bytes(pace.written),
        units::bytes(pace.expected)
    )
}

fn tell(pace: &Pace) {
    tracing::info!(
        step = "freeze",
        written = pace.written,
        expected = pace.expected,
        "{} of about {} are written, {}/s of late",
        units::bytes(pace.written),
        units::bytes(pace.expected),
        units::bytes(pace.recent as u64)
    );
}

/// How far a dump was, at two moments of late.
struct Lately([(Instant, u64); 2]);

impl Lately {
    fn new(began: Instant) -> Self {
        Self([(began, 0); 2])
    }

    /// Bytes per second since one to two times [`limits::PACE_WINDOW`] ago.
    fn speed(&mut self, now: Instant, written: u64) -> f64 {
        let [older, newer] = &mut self.0;
        if now - newer.0 >= limits::PACE_WINDOW {
            *older = std::mem::replace(newer, (now, written));
        }
        written.saturating_sub(older.1) as f64 / (now - older.0).as_secs_f64()
    }
}

/// Adds up what is written into `staging` again and again, in a thread of its own since the volume may hang, until nobody wants to
/// know any more.
fn follow(staging: PathBuf, streamed: Arc<AtomicU64>) -> Arc<AtomicU64> {
    let written = Arc::new(AtomicU64::new(0));
    let wanted = Arc::downgrade(&written);
    spawn_blocking(move || {
        let mut images = Images::default();
        while wanted.strong_count() > 0 {
            let began = Instant::now();
            let files =
                images.look(&staging.join(layout::IMAGES)) + length(&staging.join(layout::CARRIED_DATA));
            let size = files + streamed.load(Ordering::Relaxed);
            Weak::upgrade(&wanted).iter().for_each(|written| written.store(size, Ordering::Relaxed));
            criu::bound_log();
            // A volume that takes long to list many files has other things to do.
            let pause = began.elapsed() * limits::PACE_POLL_SHARE;
            std::thread::sleep(pause.clamp(limits::PACE_POLL, limits::PACE_POLL_MOST));
        }
    });
    written
}

/// The images that have nearly all bytes: those of pages. CRIU makes them one after the other, with rising numbers, so that only the
/// last ones grow (criu/image.c, `page_ids`); to ask a volume for the length of thousands five times a second would slow CRIU down.
#[derive(Default)]
struct Images {
    /// The lengths of those that are complete, added up.
    complete: u64,
    /// The highest number of which that is so.
    last: u64,
}

impl Images {
    /// How much they have by now.
    fn look(&mut self, directory: &Path) -> u64 {
        let names = fs::read_dir(directory).into_iter().flatten().flatten();
        let numbers = names.filter_map(|entry| number(entry.file_name().to_str()?));
        let mut growing: Vec<u64> = numbers.filter(|number| *number > self.last).collect();
        growing.sort_unstable();
        let newest = growing.pop();
        for number in growing {
            self.complete += length(&directory.join(name(number)));
            self.last = number;
        }
        self.complete + newest.map_or(0, |newest| length(&directory.join(name(newest))))
    }
}

fn name(number: u64) -> String {
    format!("pages-{number}.img")
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("pages-")?.strip_suffix(".img")?.parse().ok()
}

fn length(path: &Path) -> u64 {
    path.symlink_metadata().map_or(0, |meta| meta.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_added_up_and_each_file_that_is_complete_is_looked_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| fs::write(dir.path().join(name), vec![0; bytes]).unwrap();
        let mut images = Images::default();
        assert_eq!(images.look(dir.path()), 0);
        (1..=11).for_each(|number| write(&name(number), 10));
        write("pagemap-300.img", 1000);
        assert_eq!(images.look(dir.path()), 110);
        write(&name(11), 25);
        assert_eq!(images.look(dir.path()), 125);
        write(&name(12), 1);
        // Not looked at again.
        fs::remove_file(dir.path().join(name(3))).unwrap();
        assert_eq!(images.look(dir.path()), 126);
    }
}
