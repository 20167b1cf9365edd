//! On a volume as slow as a network disk: how soon a checkpoint is durable and a program goes on.

use anyhow::Result;

use crate::contender::Contender;
use crate::cycle::{Cycle, Took};
use crate::load::Load;
use crate::place::Place;
use crate::table::{Aim, Table};

/// What was measured of a contender.
struct Measured {
    first: Took,
    cold: Took,
    second: Took,
    warm: Took,
}

/// Measures one load, and tells.
///
/// # Errors
/// The machine cannot have such a volume.
pub fn measure(load: Load, megabytes: u32, table: &mut Table) -> Result<()> {
    let what = |step: &str| format!("{}, at 150 MB/s: {step}", load.name());
    let one = |contender| cycle(contender, load, megabytes);
    let both = one(Contender::Criu).and_then(|criu| Ok((criu, one(Contender::Crik("chunks"))?)));
    match both {
        Ok((criu, crik)) => tell(load, megabytes, &what, &criu, &crik, table),
        Err(error) => table.fail(megabytes, &what("chunks against CRIU"), &error),
    }
    if load == Load::Arrays {
        match one(Contender::Crik("plain")) {
            Ok(plain) => table.row(megabytes, &what("stop, format: plain"), None, plain.first.ms, Aim::None),
            Err(error) => table.fail(megabytes, &what("format: plain"), &error),
        }
    }
    Ok(())
}

fn cycle(contender: Contender, load: Load, megabytes: u32) -> Result<Measured> {
    let place = Place::slow(megabytes)?;
    let cycle = Cycle::new(contender, &place, load, megabytes)?;
    let first = cycle.stop(cycle.begin()?)?;
    let (running, cold) = cycle.resume(true)?;
    cycle.change(&running)?;
    let second = cycle.stop(running)?;
    let (_, warm) = cycle.resume(false)?;
    Ok(Measured { first, cold, second, warm })
}

fn tell(
    load: Load,
    megabytes: u32,
    what: &dyn Fn(&str) -> String,
    criu: &Measured,
    crik: &Measured,
    table: &Table,
) {
    let smaller = load != Load::Random;
    let row = |step: &str, of: fn(&Measured) -> f64, aim| {
        table.row(megabytes, &what(step), Some(of(criu)), of(crik), aim);
    };
    let (first, cold) = if smaller { (0.4, Aim::Times(0.5)) } else { (1.02, Aim::None) };
    row("stop", |measured| measured.first.ms, Aim::Times(first));
    row("second stop, a tenth changed", |measured| measured.second.ms, Aim::Times(0.15));
    row("start, nothing cached", |measured| measured.cold.ms, cold);
    row("start, all cached", |measured| measured.warm.ms, Aim::Times(1.10));
    let gigabytes = f64::from(megabytes) * f64::from(1 << 20) / 1e9;
    let per_gigabyte = |step: &str, of: fn(&Measured) -> f64, aim| {
        table.row(megabytes, &what(step), Some(of(criu) / gigabytes), of(crik) / gigabytes, aim);
    };
    per_gigabyte("stop, processor seconds a GB", |measured| measured.first.processor, Aim::Most(1.0));
    per_gigabyte("start, processor seconds a GB", |measured| measured.cold.processor, Aim::Most(0.8));
}
