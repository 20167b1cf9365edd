//! How few rights a pod needs, and what it says when it has fewer.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{Space, Workload};
use serde_json::{Value, json};

use crate::{logs, preempt, turn, whole_lines};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

/// Runs a workload, takes its node away, and checks that it goes on.
fn survives(space: &Space, workload: &Workload) -> Result<()> {
    space.apply(&workload.stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for_lines(40)?;
    preempt(space, &pod)?;
    logs(space, "job-0", "restored generation 00000001")?;
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(40)?;
    chain::verify(&[before.whole()?, whole_lines(&after.output.text())]).map(drop)
}

#[test]
fn two_capabilities_and_no_other_and_a_read_only_root_file_system() -> Result<()> {
    let turn = turn()?;
    let hardened = |container: &mut Value| {
        container["securityContext"] = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["CHECKPOINT_RESTORE", "SYS_PTRACE"]},
            "seccompProfile": {"type": "Unconfined"},
        });
    };
    let space = turn.space("hardened")?;
    survives(&space, &Workload::new("job", &COMMAND).container(hardened))?;
    space.held()
}

#[test]
fn a_user_namespace_of_its_own() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("userns")?;
    survives(&space, &Workload::new("job", &COMMAND).with(|pod| pod["hostUsers"] = json!(false)))?;
    // A kubelet that does not know the field would leave the pod among this machine's users.
    let map = space.kubectl(&["exec", "job-0", "--", "cat", "/proc/self/uid_map"])?;
    let ids: Vec<u64> = map.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(ids.first() == Some(&0) && ids.get(1).is_some_and(|outside| *outside != 0), "{map}");
    space.held()
}

#[test]
fn under_a_seccomp_profile_it_says_at_its_start_that_there_will_be_no_checkpoint() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("seccomp")?;
    let confined = |container: &mut Value| {
        container["securityContext"]["seccompProfile"] = json!({"type": "RuntimeDefault"});
    };
    space.apply(&Workload::new("job", &COMMAND).container(confined).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let said = space.follow("job-0")?;
    said.output.wait_for("no checkpoint can be taken here")?;
    said.output.wait_for_lines(40)?;
    ensure!(said.output.text().contains("seccompProfile"), "{}", said.output.text());
    preempt(&space, &pod)?;
    let said = said.whole()?;
    ensure!(said.contains("goodbye"), "the program got no SIGTERM:\n{said}");
    logs(&space, "job-0", "the application starts fresh")?;
    space.held()
}
