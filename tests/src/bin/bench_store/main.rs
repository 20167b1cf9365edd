//! `make bench-store`: what it costs to make a checkpoint durable and to bring it back, by the store and without it: against CRIU alone, against
//! CRIU and what people put behind it, on a volume as slow as a network disk and on the machine's own.

mod bucket;
mod contender;
mod cycle;
mod disk;
mod freeze;
mod load;
mod others;
mod place;
mod processor;
mod slow;
mod table;
mod warm;

use anyhow::{Result, ensure};
use crik_tests::measure::load as machine_load;

use self::load::Load;
use self::table::Table;

/// Megabytes of memory; `make bench-store SIZES="200"` measures some sizes only.
const SIZES: [u32; 2] = [200, 2048];

/// What is measured, in this order; `make bench-store ROWS="arrays disk"` measures some of it only.
const ROWS: [&str; 8] = ["arrays", "random", "heap", "others", "freeze", "warm", "disk", "bucket"];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| words.iter().any(|word| word == name);
    let sizes: Vec<u32> = SIZES.into_iter().filter(|size| wanted(&size.to_string())).collect();
    let rows: Vec<&str> = ROWS.into_iter().filter(|row| wanted(row)).collect();
    ensure!(sizes.len() + rows.len() == words.len(), "sizes are {SIZES:?}, rows are {ROWS:?}");
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    let rows = if rows.is_empty() { ROWS.to_vec() } else { rows };
    let mut table = Table::new();
    println!("the machine's load before: {}", machine_load()?);
    table.head();
    for megabytes in sizes {
        for row in &rows {
            measure(row, megabytes, &mut table)?;
        }
    }
    println!("the machine's load after: {}", machine_load()?);
    table.finish()
}

fn measure(row: &str, megabytes: u32, table: &mut Table) -> Result<()> {
    match row {
        "others" => others::measure(megabytes, table),
        "freeze" => freeze::measure(megabytes, table),
        "bucket" => bucket::measure(megabytes, table),
        "warm" => warm::measure(megabytes, table),
        "disk" => disk::measure(megabytes, table),
        _ => slow::measure(Load::named(row)?, megabytes, table),
    }
}
