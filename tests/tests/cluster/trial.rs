//! A trial where a container may make no namespaces: a second pod, made of the first one's object, resumes the checkpoint.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::cluster::Workload;
use crik_tests::wait::wait_for;

use crate::{logs, node_of, shell, turn};

/// Writes to the volume on which its checkpoints are, each number once.
const WRITES: &str = "
import time
out, n = open('/checkpoints/out', 'a', buffering=1), 0
while True:
    n += 1
    out.write(f'{n}\\n')
    time.sleep(0.02)
";

#[test]
fn a_second_pod_resumes_the_checkpoint_on_another_node_and_the_first_does_not_notice() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("trial")?;
    space.apply(&Workload::new("app", &["python3", "-c", WRITES]).stateful_set(1))?;
    let pod = space.running("app-0", None)?;
    logs(&space, "app-0", "protected: checkpoints can be taken")?;
    let kubectl = format!("kubectl --namespace {}", space.name());
    let piped = format!(
        "{kubectl} get pod app-0 -o json | {kubectl} exec -i app-0 -- crik doctor --trial --manifest"
    );
    let list = shell(&turn.cluster, &piped)?;
    space.apply(&list)?;
    let second = wait_for("the second pod to end", || {
        let second = space.get("pod", "app-0-crik-trial").ok()?;
        ["Succeeded", "Failed"].iter().any(|phase| second["status"]["phase"] == *phase).then_some(second)
    })
    .with_context(|| space.describe())?;
    let log = space.kubectl(&["logs", "app-0-crik-trial"])?;
    println!("{log}");
    ensure!(second["status"]["phase"] == "Succeeded", "{log}\n{}", space.describe());
    ensure!(log.contains("a copy of it went on") && log.contains("fits gracePeriod 30 s"), "{log}");
    ensure!(node_of(&second)? != node_of(&pod)?, "it is on the same node");
    ensure!(second["metadata"].get("ownerReferences").is_none(), "a controller has taken it");
    let now = space.get("pod", "app-0")?;
    ensure!(now["metadata"]["uid"] == pod["metadata"]["uid"], "it is another pod");
    ensure!(now["status"]["containerStatuses"][0]["restartCount"] == 0, "{}", now["status"]);
    let written = || fs::read_to_string(space.volume("app").ok()?.join("out")).ok();
    let before = written().context("nothing is written")?.len();
    let all = wait_for("more", || written().filter(|all| all.len() > before && all.ends_with('\n')))?;
    let expected: String = (1..=all.lines().count()).map(|n| format!("{n}\n")).collect();
    ensure!(all == expected, "{all}");
    space.kubectl(&["delete", "pod,networkpolicy", "app-0-crik-trial"])?;
    space.held()
}
