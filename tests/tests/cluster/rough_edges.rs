//! What Kubernetes does around a container under crik: probes, hooks, and Jobs of the same name.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::Workload;
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{logs, preempt, turn, whole_lines};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

/// True as soon as the program runs that the examples' probes look for.
fn looks_for_the_program() -> Value {
    json!({"command": ["sh", "-c", "grep -qsx python3 /proc/[0-9]*/comm"]})
}

#[test]
fn a_restore_that_takes_longer_than_the_liveness_probe_allows_is_awaited_by_the_startup_probe() -> Result<()>
{
    let turn = turn()?;
    let space = turn.space("slow-restore")?;
    // Before the restored program's first instruction; the probe below would end it after 2 s.
    let slow = "hooks: {postRestore: {command: [sleep, '8'], timeout: 60s, onFailure: fail}}";
    let alive =
        json!({"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 2});
    let waits = json!({"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 60});
    // The file is made again by a hook when the restore is over, as a server listens again then.
    let slow = slow.replace("[sleep, '8']", "[sh, '-c', 'rm -f /tmp/alive; sleep 8; touch /tmp/alive']");
    let workload = Workload::new("slow", &["sh", "-c", "touch /tmp/alive; exec python3 /programs/single.py"])
        .config(&slow)
        .container(|container| {
            container["livenessProbe"] = alive;
            container["startupProbe"] = waits;
        });
    space.apply(&workload.stateful_set(1))?;
    let pod = space.running("slow-0", None)?;
    let before = space.follow("slow-0")?;
    before.output.wait_for_lines(40)?;
    preempt(&space, &pod)?;
    logs(&space, "slow-0", "restored generation 00000001")?;
    let after = space.follow("slow-0")?;
    after.output.wait_for_lines(40)?;
    chain::verify(&[before.whole()?, whole_lines(&after.output.text())])?;
    let restarts = space.get("pod", "slow-0")?["status"]["containerStatuses"][0]["restartCount"].clone();
    ensure!(restarts == 0, "{restarts} restarts");
    space.held()
}

#[test]
fn the_examples_startup_probe_succeeds_when_the_program_runs() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("started")?;
    let probed = |container: &mut Value| {
        container["startupProbe"] =
            json!({"exec": looks_for_the_program(), "periodSeconds": 1, "failureThreshold": 60});
    };
    space.apply(&Workload::new("job", &COMMAND).container(probed).stateful_set(1))?;
    let started = || {
        let started = space.get("pod", "job-0").ok()?["status"]["containerStatuses"][0]["started"] == true;
        started.then_some(())
    };
    let pod = space.running("job-0", None)?;
    wait_for("the startup probe to succeed", started)?;
    preempt(&space, &pod)?;
    wait_for("the startup probe to succeed again", started)?;
    logs(&space, "job-0", "restored generation 00000001")?;
    space.held()
}

#[test]
fn a_hook_before_the_stop_takes_its_time_from_the_grace_period() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("hooked")?;
    // 30 s of grace less 5 s of the hook, and some to spare.
    let workload = Workload::new("job", &COMMAND).instead("gracePeriod: 30s", "gracePeriod: 20s");
    let hooked = |container: &mut Value| {
        container["lifecycle"] = json!({"preStop": {"exec": {"command": ["sleep", "5"]}}});
    };
    space.apply(&workload.container(hooked).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for_lines(40)?;
    preempt(&space, &pod)?;
    logs(&space, "job-0", "restored generation 00000001")?;
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(40)?;
    chain::verify(&[before.whole()?, whole_lines(&after.output.text())])?;
    space.held()
}

#[test]
fn another_job_of_the_same_name_begins_anew() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("again")?;
    let job = job()?;
    let begun = |before: &str| {
        wait_for("a pod that has begun", || {
            let pods = space.pods("job-name=job").ok()?;
            let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
            let other = pods.iter().filter_map(name).find(|name| name != before)?;
            let log = space.kubectl(&["logs", &other]).ok()?;
            log.contains("generation 00000001 is durable").then_some((other, log))
        })
    };
    space.apply(&job)?;
    let (first, _) = begun("")?;
    // Nobody ends its pod in order, so what it leaves behind is not closed.
    space.kubectl(&["delete", "pod", &first, "--force", "--grace-period=0"])?;
    space.kubectl(&["delete", "job", "job"])?;
    space.apply(&job)?;
    let (_, log) = begun(&first)?;
    ensure!(log.contains("the application starts fresh") && !log.contains("restored generation"), "{log}");
    space.held()
}

/// A Job as the examples have it.
fn job() -> Result<String> {
    let workload = Workload::new("job", &COMMAND)
        .config("interval: 1s")
        .instead("/checkpoints/${POD_NAME}", "/checkpoints/job-${JOB_UID}")
        .container(|container| {
            let uid = json!({"name": "JOB_UID", "valueFrom": {"fieldRef":
                {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}});
            if let Some(env) = container["env"].as_array_mut() {
                env.push(uid);
            }
        })
        .with(|pod| pod["restartPolicy"] = json!("Never"));
    let mut list: Value = serde_json::from_str(&workload.deployment(1))?;
    let object = &mut list["items"][2];
    let template =
        json!({"metadata": {"labels": {"app": "job"}}, "spec": object["spec"]["template"]["spec"]});
    *object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"},
                     "spec": {"backoffLimit": 3, "template": template}});
    Ok(list.to_string())
}
