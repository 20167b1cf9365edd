//! Containers that the kubelet or the kernel ends.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{Space, Workload};
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{logs, turn, whole_lines};

/// Waits until a pod's container was started again, and returns why it had ended.
fn restarted(space: &Space, pod: &str) -> Result<Value> {
    wait_for("the container to be started again", || {
        let status = space.get("pod", pod).ok()?["status"]["containerStatuses"][0].clone();
        let again = status["restartCount"].as_u64()? > 0 && status["state"]["running"].is_object();
        again.then(|| status["lastState"]["terminated"].clone())
    })
}

#[test]
fn a_container_out_of_memory_goes_on_from_its_last_checkpoint() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("memory")?;
    let workload = Workload::new("greedy", &["python3", "/programs/greedy.py"]).config("interval: 1s");
    let limited = |container: &mut Value| container["resources"] = json!({"limits": {"memory": "96Mi"}});
    space.apply(&workload.container(limited).stateful_set(1))?;
    space.running("greedy-0", None)?;
    let before = space.follow("greedy-0")?;
    before.output.wait_for("generation 00000001 is durable")?;
    // The agent passes on every signal; this one makes the program take more than there is.
    space.kubectl(&["exec", "greedy-0", "--", "sh", "-c", "kill -USR1 1"])?;
    let ended = restarted(&space, "greedy-0")?;
    ensure!(ended["reason"] == "OOMKilled" || ended["exitCode"] == 137, "{ended}");
    let log = logs(&space, "greedy-0", "restored generation")?;
    ensure!(!log.contains("starts fresh"), "{log}");
    let after = space.follow("greedy-0")?;
    after.output.wait_for_lines(40)?;
    let steps = chain::verify_repeated(&whole_lines(&before.whole()?), &whole_lines(&after.output.text()))?;
    ensure!(steps > 0, "no step");
    space.held()
}

#[test]
fn a_liveness_probe_that_fails_stops_the_container_in_order_and_costs_no_more_than_an_interval() -> Result<()>
{
    let turn = turn()?;
    let space = turn.space("liveness")?;
    let probed = |container: &mut Value| {
        container["livenessProbe"] = json!({
            "exec": {"command": ["test", "!", "-e", "/tmp/sick"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
        });
    };
    let workload = Workload::new("sick", &["python3", "/programs/single.py"]).config("interval: 1s");
    space.apply(&workload.container(probed).stateful_set(1))?;
    space.running("sick-0", None)?;
    let before = space.follow("sick-0")?;
    before.output.wait_for("generation 00000001 is durable")?;
    before.output.wait_for_lines(40)?;
    space.kubectl(&["exec", "sick-0", "--", "touch", "/tmp/sick"])?;
    restarted(&space, "sick-0")?;
    let before = before.whole()?;
    // The node is well, so the program gets its SIGTERM, and nobody wanted its work to end.
    ensure!(before.contains("goodbye"), "{before}");
    ensure!(before.contains("nobody ends the pod, but this container is stopped"), "{before}");
    ensure!(!before.contains("a checkpoint is taken"), "{before}");
    logs(&space, "sick-0", "restored generation")?;
    let after = space.follow("sick-0")?;
    after.output.wait_for_lines(40)?;
    let steps = chain::verify_repeated(&whole_lines(&before), &whole_lines(&after.output.text()))?;
    ensure!(steps > 0, "no step");
    space.held()
}
