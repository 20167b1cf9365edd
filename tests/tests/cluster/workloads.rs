//! The kinds of workload: StatefulSet and Deployment. `examples.rs` has the Job.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::Workload;
use crik_tests::wait::wait_for;

use crate::{logs, preempt, turn, whole_lines};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

#[test]
fn each_replica_of_a_stateful_set_resumes_its_own_state() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("replicas")?;
    space.apply(&Workload::new("pair", &COMMAND).stateful_set(2))?;
    for name in ["pair-0", "pair-1"] {
        let pod = space.running(name, None)?;
        let before = space.follow(name)?;
        before.output.wait_for_lines(40)?;
        preempt(&space, &pod)?;
        let after = space.follow(name)?;
        after.output.wait_for_lines(40)?;
        let outputs = [before.whole()?, whole_lines(&after.output.text())];
        // Each begins with a seed of its own, which all steps follow from.
        let steps = chain::verify(&outputs).with_context(|| name.to_owned())?;
        println!("{name}: {steps} steps");
    }
    space.held()
}

#[test]
fn a_deployment_that_is_scaled_to_none_on_a_node_that_goes_away_and_back_goes_on() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("scaled")?;
    // The pods of a Deployment have other names each time.
    let workload = Workload::new("scaled", &COMMAND).instead("${POD_NAME}", "scaled");
    space.apply(&workload.deployment(1))?;
    let pod = wait_for("the pod", || space.pods("app=scaled").ok()?.pop())?;
    let name = pod["metadata"]["name"].as_str().context("no name")?.to_owned();
    let pod = space.running(&name, None)?;
    let before = space.follow(&name)?;
    before.output.wait_for_lines(40)?;
    turn.cluster.kubectl(&["cordon", &crate::node_of(&pod)?])?;
    space.kubectl(&["scale", "deployment/scaled", "--replicas=0"])?;
    wait_for("no pod", || space.pods("app=scaled").ok()?.is_empty().then_some(()))?;
    space.kubectl(&["scale", "deployment/scaled", "--replicas=1"])?;
    let next = wait_for("the next pod", || space.pods("app=scaled").ok()?.pop())?;
    let next = next["metadata"]["name"].as_str().context("no name")?.to_owned();
    space.running(&next, None)?;
    logs(&space, &next, "restored generation 00000001")?;
    let after = space.follow(&next)?;
    after.output.wait_for_lines(40)?;
    let steps = chain::verify(&[before.whole()?, whole_lines(&after.output.text())])?;
    ensure!(steps > 40, "{steps}");
    space.held()
}
