//! How few rights a pod needs, and what it says when it has fewer.

use std::fs;
use std::os::unix::fs::chown;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::chain;
use crik_tests::cluster::{FaultyVolume, Space, Workload};
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{logs, numbers, preempt, turn, whole_lines};

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

/// The objects of an example, and the claim among them.
fn example_with_claim(path: &str) -> Result<(String, String)> {
    let all = fs::read_to_string(workspace().join("deploy/examples").join(path))?;
    let claim = all.split("\n---\n").find(|one| one.contains("kind: PersistentVolumeClaim"));
    Ok((all.clone(), claim.context("no claim")?.to_owned()))
}

#[test]
fn a_pod_that_does_not_run_as_root() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("ordinary")?;
    let (all, claim) = example_with_claim("ordinary-user/ordinary-user.yaml")?;
    space.apply(&claim)?;
    // As whoever exports a directory does: a volume of this kind heeds no fsGroup.
    let directory = wait_for("the claim's volume", || space.volume("ordinary-user").ok())?;
    chown(&directory, Some(1000), Some(1000))?;
    space.apply(&all)?;
    let pod = space.running("ordinary-user-0", None)?;
    let id = space.kubectl(&["exec", "ordinary-user-0", "--", "id"])?;
    ensure!(id.contains("uid=1000") && id.contains("gid=1000"), "{id}");
    let before = space.follow("ordinary-user-0")?;
    before.output.wait_for_lines(5)?;
    preempt(&space, &pod)?;
    let said = logs(&space, "ordinary-user-0", "restored generation 00000001")?;
    let last = numbers(&before.whole()?).max().context("it did not count")?;
    let first =
        wait_for("it to count on", || numbers(&space.kubectl(&["logs", "ordinary-user-0"]).ok()?).next())?;
    ensure!(first == last + 1, "{last} is followed by {first}\n{said}");
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

/// As NFS is one; FUSE is told so by its server.
#[test]
fn on_a_volume_that_cannot_be_mounted_with_other_ids_a_pod_says_so_and_goes_on_without_the_user_namespace()
-> Result<()> {
    let turn = turn()?;
    let space = turn.space("unmapped")?;
    let workload = Workload::new("job", &COMMAND);
    space.apply(&workload.stateful_set(0))?;
    let directory = wait_for("the claim to have a volume", || space.volume("job").ok())?;
    let _volume = FaultyVolume::over(&turn.cluster, directory)?;
    space.apply(&workload.clone().with(|pod| pod["hostUsers"] = json!(false)).stateful_set(1))?;
    wait_for("the pod to say why it does not start", || {
        let told = space.kubectl(&["get", "events"]).ok()?;
        (told.contains("failed to set MOUNT_ATTR_IDMAP on ") && told.contains("invalid argument"))
            .then_some(())
    })?;
    // A pod that never was ready is not replaced by a StatefulSet's new template.
    space.kubectl(&["delete", "statefulset,pod", "--all"])?;
    survives(&space, &workload)?;
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
