//! How fast the volume takes what is written to it durably.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crik_store::generation::manifest::{self, Manifest};
use crik_store::image_dir::hold::Hold;

use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};

/// In bytes per second, as a checkpoint of this workload went; none if it was too small to tell, or did not write all that it keeps.
pub fn of(manifest: &Manifest) -> Option<f64> {
    if manifest.streams.is_some() {
        return None;
    }
    let took: u64 =
        [manifest::DUMP, manifest::DURABLE].iter().filter_map(|step| manifest.durations_ms.get(*step)).sum();
    let bytes = manifest.total_bytes();
    (bytes >= limits::PROBE_BYTES && took > 0).then(|| bytes as f64 * 1000.0 / took as f64)
}

/// Measures it by writing a file below a hold, in bytes per second; a smaller one where there is no room for the usual one, since the
/// checkpoint of a small program is small too.
///
/// # Errors
/// The volume cannot be written.
pub fn measure(hold: &Hold) -> io::Result<f64> {
    let write: Trial<'_> = &|bytes| write(hold, bytes);
    // By a bucket's speed nothing is chosen, and it may cost money.
    if hold.dir().is_in_a_bucket() { measure_by(write) } else { measure_well(write) }
}

/// The fastest of a few times, unless it is fast: in a moment in which the processors were another's everything is slow.
fn measure_well(write: Trial<'_>) -> io::Result<f64> {
    let mut fastest = measure_by(write)?;
    for _ in 1..limits::SPEED_TRIES {
        if fastest >= limits::FAST_VOLUME {
            break;
        }
        fastest = fastest.max(measure_again_by(write, fastest)?);
    }
    Ok(fastest)
}

/// The same with no more than what takes a moment if it is as slow as is `known`.
///
/// # Errors
/// The volume cannot be written.
pub fn measure_again(hold: &Hold, known: f64) -> io::Result<f64> {
    measure_again_by(&|bytes| write(hold, bytes), known)
}

fn write(hold: &Hold, bytes: u64) -> io::Result<Duration> {
    if hold.dir().is_in_a_bucket() { hold.write_for_a_moment(bytes) } else { write_in(hold.path(), bytes) }
}

/// Writes so many bytes durably, says how long that took, and leaves nothing of it.
type Trial<'a> = &'a dyn Fn(u64) -> io::Result<Duration>;

fn measure_by(write: Trial<'_>) -> io::Result<f64> {
    let mut bytes = limits::PROBE_BYTES;
    loop {
        match measure_once(write, bytes) {
            Err(error) if error.outlook() == Outlook::NoRoom && bytes > limits::PROBE_LEAST_BYTES => {
                bytes /= 4
            }
            measured => return measured,
        }
    }
}

fn measure_again_by(write: Trial<'_>, known: f64) -> io::Result<f64> {
    let bytes = (known * limits::SPEED_AGAIN.as_secs_f64()) as u64;
    measure_once(write, bytes.clamp(limits::SMALLEST_PIECE_BYTES as u64, limits::PROBE_BYTES))
}

fn measure_once(write: Trial<'_>, bytes: u64) -> io::Result<f64> {
    let (overhead, took) = (write(1)?, write(bytes)?);
    Ok(bytes as f64 / without(overhead, took).as_secs_f64())
}

fn write_in(directory: &Path, bytes: u64) -> io::Result<Duration> {
    let path = directory.join("speed");
    let took = write_durably(&path, bytes);
    // A file that could not be made cannot be removed either, which is not the reason.
    let removed = fs::remove_file(&path);
    took.and_then(|took| removed.map(|()| took))
}

/// What a file costs however small it is says nothing about speed. It varies, and where it is most of the time it is half of it at
/// most that is known to be none of the writing's.
fn without(overhead: Duration, took: Duration) -> Duration {
    took.saturating_sub(overhead).max(took / 2).max(limits::CLOCK_STEP)
}

fn write_durably(path: &Path, bytes: u64) -> io::Result<Duration> {
    let began = Instant::now();
    let mut file = File::create(path)?;
    let chunk = vec![0x5a; 1 << 20];
    let mut left = bytes as usize;
    while left > 0 {
        file.write_all(&chunk[..left.min(chunk.len())])?;
        left = left.saturating_sub(chunk.len());
    }
    file.sync_all()?;
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_in_which_nothing_got_on_makes_no_volume_slow() {
        let measured = |slow: [u32; 3]| {
            let tries = std::cell::Cell::new(0);
            let write = |bytes: u64| {
                let is_slow = bytes > 1 && slow.contains(&tries.replace(tries.get() + u32::from(bytes > 1)));
                Ok(Duration::from_secs_f64(bytes as f64 / if is_slow { 1e8 } else { 1e9 }))
            };
            measure_well(&write).unwrap()
        };
        assert!(measured([0, 1, 9]) > 9e8);
        assert!(measured([0, 1, 2]) < 2e8);
    }

    proptest! {
        #[test]
        fn no_overhead_makes_a_volume_more_than_twice_as_fast_as_the_file_was_written(
            overhead in 0..10_000_000_000_u64,
            took in 0..10_000_000_000_u64,
        ) {
            let counted = without(Duration::from_nanos(overhead), Duration::from_nanos(took));
            prop_assert!(!counted.is_zero() && counted >= Duration::from_nanos(took / 2));
            prop_assert!(counted <= Duration::from_nanos(took.max(1)));
            prop_assert!(overhead > took / 2 || counted == Duration::from_nanos((took - overhead).max(1)));
        }
    }

    #[test]
    fn it_is_told_why_a_volume_cannot_be_written() {
        // Nobody may make a file there, and what is not there cannot be removed.
        let directory = Path::new("/dev/pts");
        assert_eq!(fs::remove_file(directory.join("speed")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(
            measure_by(&|bytes| write_in(directory, bytes)).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
    }

    #[test]
    fn a_measurement_leaves_nothing_behind() {
        let volume = tempfile::tempdir().unwrap();
        let write: Trial<'_> = &|bytes| write_in(volume.path(), bytes);
        assert!(measure_by(write).unwrap() > 0.0 && measure_again_by(write, 1e6).unwrap() > 0.0);
        assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0);
    }
}
