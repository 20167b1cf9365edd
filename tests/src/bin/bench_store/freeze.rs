//! For how long a program stands still for a checkpoint after which it goes on, and what the agent has in memory meanwhile.

use anyhow::{Context as _, Result, ensure};
use crik_tests::measure::status;
use crik_tests::volume::Volume;

use crate::contender::Contender;
use crate::cycle::Cycle;
use crate::load::Load;
use crate::place::Place;
use crate::table::{Aim, Table};

/// What was measured of a format.
struct Measured {
    first_ms: f64,
    second_ms: f64,
    /// The most that the agent had of its own at any time, in MiB.
    peak: f64,
}

/// Measures it, and tells.
///
/// # Errors
/// The machine cannot have such a volume.
pub fn measure(megabytes: u32, table: &mut Table) -> Result<()> {
    let what = |step: &str| format!("arrays, at 150 MB/s: {step}");
    let both = of("plain", megabytes).and_then(|plain| Ok((plain, of("chunks", megabytes)?)));
    match both {
        Ok((plain, chunks)) => {
            let row = |step, plain, chunks, aim| table.row(megabytes, &what(step), plain, chunks, aim);
            row("freeze of the first checkpoint", Some(plain.first_ms), chunks.first_ms, Aim::None);
            row("freeze, a tenth changed", Some(plain.second_ms), chunks.second_ms, Aim::Times(0.15));
            row("the agent's own memory, MiB", Some(plain.peak), chunks.peak, Aim::Most(64.0));
        }
        Err(error) => table.fail(megabytes, &what("freeze, chunks against plain"), &error),
    }
    Ok(())
}

fn of(format: &'static str, megabytes: u32) -> Result<Measured> {
    let place = Place::slow(megabytes)?;
    let cycle = Cycle::new(Contender::Crik(format), &place, Load::Arrays, megabytes)?;
    let running = cycle.begin()?;
    let checkpoint = || {
        nix::unistd::sync();
        let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
        ensure!(code == Some(0), "no checkpoint: {said}\n{}", running.transcript());
        let manifest = Volume::manifest(&place.volume().newest("job-0")?)?;
        manifest["durationsMs"]["pause"].as_f64().context("no pause in the manifest")
    };
    let first_ms = checkpoint()?;
    cycle.change(&running)?;
    let second_ms = checkpoint()?;
    // What is mapped of its program is the page cache's.
    let own = status(&running, "VmHWM:")? - status(&running, "RssFile:")?;
    Ok(Measured { first_ms, second_ms, peak: own as f64 / 1024.0 })
}
