//! What people put behind CRIU today: the image is dumped to the machine's own disk, and sent to the volume by something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use crik_tests::measure::milliseconds;

use crate::contender::Contender;
use crate::cycle::Cycle;
use crate::load::Load;
use crate::place::Place;
use crate::table::{Aim, Table};

/// What sends the directory `$1` to the place `$2`, for the first time and for the second.
const OTHERS: [(&str, &str, &str); 3] = [
    ("zstd", "tar and zstd -1", "tar -C $1 -c . | zstd -1 -q -c > $2/image && sync $2/image"),
    ("lz4", "tar and lz4", "tar -C $1 -c . | lz4 -q -c > $2/image && sync $2/image"),
    (
        "restic",
        "restic backup",
        "export RESTIC_REPOSITORY=$2/restic RESTIC_PASSWORD=p RESTIC_CACHE_DIR=$2/cache\n\
         [ -e $2/restic ] || restic init -q --repository-version 2; restic backup -q $1 && sync -f $2",
    ),
];

/// Measures them and the same with crik, and tells.
///
/// # Errors
/// The machine cannot have such a volume.
pub fn measure(megabytes: u32, table: &mut Table) -> Result<()> {
    let what = |name: &str| format!("arrays, at 150 MB/s: stop, against CRIU, {name}");
    match (ours(megabytes), Images::new(megabytes)) {
        (Ok(ours), Ok(images)) => {
            for (program, name, script) in OTHERS {
                match theirs(program, script, &images, megabytes) {
                    Ok(Some(times)) => tell(megabytes, &what(name), times, ours, table),
                    Ok(None) => table.skip(megabytes, &what(name), &format!("apt-get install {program}")),
                    Err(error) => table.fail(megabytes, &what(name), &error),
                }
            }
        }
        (Err(error), _) | (_, Err(error)) => table.fail(megabytes, &what("others"), &error),
    }
    Ok(())
}

fn tell(megabytes: u32, what: &str, theirs: [f64; 2], ours: [f64; 2], table: &Table) {
    table.row(megabytes, what, Some(theirs[0]), ours[0], Aim::None);
    table.row(megabytes, &format!("{what}, again"), Some(theirs[1]), ours[1], Aim::None);
}

/// Two stops of a program that changes a tenth in between.
fn ours(megabytes: u32) -> Result<[f64; 2]> {
    let place = Place::slow(megabytes)?;
    let cycle = Cycle::new(Contender::Crik("chunks"), &place, Load::Arrays, megabytes)?;
    let first = cycle.stop(cycle.begin()?)?.ms;
    let (running, _) = cycle.resume(false)?;
    cycle.change(&running)?;
    Ok([first, cycle.stop(running)?.ms])
}

/// What CRIU alone made of the same two.
struct Images {
    place: Place,
}

impl Images {
    fn new(megabytes: u32) -> Result<Self> {
        let place = Place::fast()?;
        let cycle = Cycle::new(Contender::Criu, &place, Load::Arrays, megabytes)?;
        cycle.stop(cycle.begin()?)?;
        let (running, _) = cycle.resume(false)?;
        cycle.change(&running)?;
        cycle.stop(running)?;
        Ok(Self { place })
    }

    fn image(&self, number: u32) -> PathBuf {
        self.place.volume().path().join("plain").join(number.to_string())
    }

    /// How long CRIU itself took for one, in milliseconds, which its log says at the beginning of each line.
    fn dump(&self, number: u32) -> Result<f64> {
        let log = fs::read_to_string(self.image(number).join("dump.log"))?;
        let last =
            log.lines().rev().find_map(|line| line.strip_prefix('(')?.split_once(')')).context("no time")?;
        Ok(last.0.parse::<f64>()? * 1000.0)
    }
}

/// How long they take; none if the program is not there.
fn theirs(program: &str, script: &str, images: &Images, megabytes: u32) -> Result<Option<[f64; 2]>> {
    if !Command::new("which").arg(program).output()?.status.success() {
        return Ok(None);
    }
    // What they make of it is less than half as large, and the images take the disk's room too.
    let place = Place::slow(megabytes / 2)?;
    let to = place.volume().path();
    let mut times = [0.0; 2];
    for (time, number) in times.iter_mut().zip([1, 2]) {
        *time = images.dump(number)? + send(script, &images.image(number), to)?;
    }
    Ok(Some(times))
}

fn send(script: &str, from: &Path, to: &Path) -> Result<f64> {
    nix::unistd::sync();
    let began = Instant::now();
    let sent =
        Command::new("nice").args(["-n", "-20", "sh", "-ec", script, "send"]).args([from, to]).output()?;
    ensure!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    Ok(milliseconds(began.elapsed()))
}
