//! The kubelet's own graceful node shutdown, driven as logind drives it.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::Workload;
use crik_tests::wait::wait_for;

use crate::{logs, node_of, turn, whole_lines};

#[test]
fn a_machine_that_is_shut_down_hands_its_pod_over() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("shutdown")?;
    space.apply(&Workload::new("job", &["python3", "/programs/single.py"]).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for_lines(40)?;
    let name = node_of(&pod)?;
    let node = turn.cluster.node(&name)?;
    ensure!(node.shutdown_is_delayed()?, "the kubelet has no inhibitor:\n{}", node.kubelet_log());

    node.prepare_for_shutdown()?;

    // The kubelet lets the shutdown go on when its pods have ended; then the machine goes off.
    wait_for("the kubelet to let the machine go", || {
        node.shutdown_is_delayed().is_ok_and(|delayed| !delayed).then_some(())
    })?;
    let before = before.whole()?;
    node.kill();
    let decision = format!("a checkpoint is taken: node {name} is shutting-down");
    ensure!(before.contains(&decision), "{decision:?} is not in\n{before}");
    // Its cloud removes a machine's Node, and with it the pods that nobody can end any more.
    turn.cluster.kubectl(&["delete", "node", &name])?;
    let successor = space.running("job-0", Some(&pod))?;
    ensure!(node_of(&successor)? != name);
    logs(&space, "job-0", "restored generation 00000001")?;
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(40)?;
    println!("{} steps", chain::verify(&[before, whole_lines(&after.output.text())])?);
    space.held()
}
