//! On the machine's own disk, where nothing is gained by smaller checkpoints.

use anyhow::Result;

use crate::contender::Contender;
use crate::cycle::{Cycle, by_turns};
use crate::load::Load;
use crate::place::Place;
use crate::table::{Aim, Table};

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

fn stops(megabytes: u32) -> Result<[f64; 2]> {
    let stop = |contender| {
        let place = Place::fast()?;
        let cycle = Cycle::new(contender, &place, Load::Arrays, megabytes)?;
        Ok::<_, anyhow::Error>(cycle.stop(cycle.begin()?)?.ms)
    };
    by_turns(|| Ok([stop(Contender::Criu)?, stop(Contender::Crik("auto"))?]))
}
