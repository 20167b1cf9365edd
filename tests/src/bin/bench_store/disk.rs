//! On the machine's own disk, where nothing is gained by smaller checkpoints.

use anyhow::Result;
use crik_tests::measure::median;

use crate::contender::Contender;
use crate::cycle::Cycle;
use crate::load::Load;
use crate::place::Place;
use crate::table::{Aim, Table};

/// How often each is measured.
const ROUNDS: usize = 3;

/// Measures it, and tells.
///
/// # Errors
/// There is no room.
pub fn measure(megabytes: u32, table: &mut Table) -> Result<()> {
    let what = "arrays, the machine's own disk: stop, format: auto";
    match stops(megabytes) {
        Ok([criu, crik]) => table.row(megabytes, what, Some(criu), crik, Aim::Times(1.05)),
        Err(error) => table.fail(megabytes, what, &error),
    }
    Ok(())
}

/// Both take turns, so that a slow moment of the machine meets both.
fn stops(megabytes: u32) -> Result<[f64; 2]> {
    let contenders = [Contender::Criu, Contender::Crik("auto")];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (times, contender) in times.iter_mut().zip(contenders) {
            let place = Place::fast()?;
            let cycle = Cycle::new(contender, &place, Load::Arrays, megabytes)?;
            times.push(cycle.stop(cycle.begin()?)?.ms);
        }
    }
    Ok(times.map(median))
}
