//! Runs all suites of the workspace: what `make test` does after the linters.

use std::time::Instant;

use anyhow::Result;
use crik_tests::suites::{build, run, table, verdict};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

fn main() -> Result<()> {
    // Who ends cargo means this too.
    set_pdeathsig(Signal::SIGTERM)?;
    let suites = build()?;
    let (wanted, began) = (suites.len(), Instant::now());
    let ended = run(suites)?;
    print!("\n{}", table(&ended, began.elapsed()));
    verdict(&ended, wanted)
}
