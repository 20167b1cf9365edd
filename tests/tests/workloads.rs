//! Ordinary programs go on in another container on another node, with what they had in memory: each file of `tests/workloads` once.

use anyhow::Result;
use crik_tests::corpus::{Workload, goes_on, workloads};
use libtest_mimic::{Arguments, Failed, Trial};

/// As often as it takes to see that a program goes on, and that what goes on can be checkpointed; `make corpus` does more.
const MOVES: u32 = 1;

fn main() -> Result<()> {
    let all = workloads()?.into_iter().map(Workload::quick).collect::<Result<Vec<_>>>()?;
    let trials = all.into_iter().map(|workload| {
        Trial::test(workload.name.clone(), move || {
            let moves = workload.moves.unwrap_or(MOVES);
            goes_on(&workload, moves).map(drop).map_err(|error| Failed::from(format!("{error:?}")))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
