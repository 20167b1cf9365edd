//! A node that is gone from one moment to the next.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::Workload;

use crate::{logs, node_of, turn, whole_lines};

#[test]
fn a_node_that_loses_its_power_costs_no_more_than_an_interval() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("lost")?;
    let workload = Workload::new("job", &["python3", "/programs/single.py"]);
    // The hold of a pod that is gone expires; it would take a minute by default.
    space.apply(&workload.config("interval: 2s\nclaimExpiry: 10s").stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for("generation 00000001 is durable")?;
    let name = node_of(&pod)?;
    turn.cluster.node(&name)?.kill();
    // Its cloud removes a machine's Node, and with it the pods that nobody can end any more.
    turn.cluster.kubectl(&["delete", "node", &name])?;
    // Who removes such pods looks every 20 s, and again after 40 s (podgc, `gcCheckPeriod` and `quarantineTime`): 80 s at most.
    let successor = || space.running("job-0", Some(&pod));
    let successor = successor().or_else(|_| successor())?;
    ensure!(node_of(&successor)? != name);
    let log = logs(&space, "job-0", "restored generation")?;
    ensure!(!log.contains("starts fresh"), "{log}");
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(60)?;
    before.output.wait_for_end()?;
    // What it wrote last may not have reached us before the machine went off; its volume has a state that it had.
    let reached =
        chain::verify_repeated(&whole_lines(&before.output.text()), &whole_lines(&after.output.text()))?;
    println!("{reached} steps, of which those after the last checkpoint were made twice");
    space.held()
}
