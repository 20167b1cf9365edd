//! `make corpus`: all programs of the corpus under crik, and by CRIU alone, into `docs/programs.md`.

use std::env;
use std::fs;

use anyhow::{Result, ensure};
use crik_tests::build::workspace;
use crik_tests::corpus::{Recipe, Row, Workload, goes_on, goes_on_by_criu, workloads, write};

/// How often each program moves: a fault that the first move brings shows at the second, and what the second leaves at the third.
const MOVES: u32 = 3;

fn main() -> Result<()> {
    let only: Vec<String> = env::args().skip(1).collect();
    let all = workloads()?;
    let unknown: Vec<&String> =
        only.iter().filter(|name| !all.iter().any(|one| one.name == **name)).collect();
    ensure!(unknown.is_empty(), "nothing is known of {unknown:?}");
    let wanted = all.into_iter().filter(|one| only.is_empty() || only.contains(&one.name));
    let rows: Vec<Row> = wanted.map(tried).collect();
    let page = write(&rows, MOVES);
    if only.is_empty() {
        fs::write(workspace().join("docs/programs.md"), &page)?;
    }
    println!("{page}");
    ensure!(rows.iter().all(|row| row.crik.is_ok()), "not all go on");
    Ok(())
}

fn tried(workload: Workload) -> Row {
    eprintln!("{}", workload.name);
    let crik = goes_on(&workload, MOVES).inspect_err(|error| eprintln!("{}: {error:#}", workload.name));
    let [plain, go] = [Recipe::Plain, Recipe::Go].map(|recipe| {
        let moved = goes_on_by_criu(&workload, recipe);
        moved.inspect_err(|error| eprintln!("{} by {recipe:?}: {error:#}", workload.name))
    });
    Row { crik, plain, go, workload }
}
