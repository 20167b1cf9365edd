//! Many preemptions in a row.

use std::time::Instant;

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::Workload;

use crate::{node_of, preempt, turn, whole_lines};

/// How often the pod loses its node.
const PREEMPTIONS: usize = 20;

/// How many lines each pod writes before it does.
const STEPS: usize = 60;

#[test]
fn a_job_that_hashes_its_whole_history_loses_no_step_in_twenty_preemptions() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("twenty")?;
    space.apply(&Workload::new("chain", &["python3", "/programs/single.py"]).stateful_set(1))?;
    let mut pod = space.running("chain-0", None)?;
    let (mut outputs, mut nodes) = (Vec::new(), vec![node_of(&pod)?]);
    let began = Instant::now();
    for _ in 0..PREEMPTIONS {
        let follower = space.follow("chain-0")?;
        follower.output.wait_for_lines(STEPS)?;
        pod = preempt(&space, &pod)?;
        outputs.push(follower.whole()?);
        nodes.push(node_of(&pod)?);
    }
    let took = began.elapsed() / u32::try_from(PREEMPTIONS)?;
    let last = space.follow("chain-0")?;
    last.output.wait_for_lines(STEPS)?;
    outputs.push(whole_lines(&last.output.text()));
    ensure!(nodes.windows(2).all(|pair| pair[0] != pair[1]), "{nodes:?}");
    let steps = chain::verify(&outputs)?;
    println!("{steps} steps over {} pods; {:.1} s from one to the next", outputs.len(), took.as_secs_f64());
    space.held()
}
