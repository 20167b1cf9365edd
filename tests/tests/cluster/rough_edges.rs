//! What Kubernetes does around a container under crik: probes, hooks, and Jobs of the same name.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{FaultyVolume, Space, Workload};
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{logs, node_of, preempt, turn, whole_lines};

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
fn a_periodic_checkpoint_on_a_slow_volume_is_given_up_before_a_liveness_probe_ends_the_container()
-> Result<()> {
    let turn = turn()?;
    let space = turn.space("slow-volume")?;
    let command = ["python3", "/programs/answering.py", "60"];
    // All that is not said here is as Kubernetes has it: every 10 s, within 1 s, three times.
    let alive = json!({"httpGet": {"path": "/", "port": 8080}, "initialDelaySeconds": 2});
    let workload = Workload::new("job", &command).config("interval: 2s");
    let workload = workload.container(|container| container["livenessProbe"] = alive);
    space.apply(&workload.stateful_set(0))?;
    let directory = wait_for("the claim to have a volume", || space.volume("job").ok())?;
    let volume = FaultyVolume::over(&turn.cluster, directory)?;
    space.apply(&workload.stateful_set(1))?;
    space.running("job-0", None)?;
    let said = space.follow("job-0")?;
    said.output.wait_for("generation 00000001 is durable")?;
    // Half a minute for each.
    volume.faults().limit_bandwidth(2_000_000);
    said.output.wait_for("raise maxPause or use a faster volume")?;
    // It was not answered while the program stood still, and is again.
    wait_for("a probe that failed", || {
        space.kubectl(&["get", "events"]).ok()?.contains("Liveness probe failed").then_some(())
    })?;
    said.output.wait_for("the application would stand still for about")?;
    let (lines, asked) = (said.output.text().lines().count(), answers(&said.output.text()));
    said.output.wait_for_lines(lines + 40)?;
    wait_for("a probe that is answered", || (answers(&said.output.text()) > asked).then_some(()))?;
    let restarts = space.get("pod", "job-0")?["status"]["containerStatuses"][0]["restartCount"].clone();
    ensure!(restarts == 0, "{restarts} restarts");
    chain::verify(&[whole_lines(&said.output.text())])?;
    space.held()
}

/// How often it has answered.
fn answers(output: &str) -> usize {
    output.lines().filter(|line| *line == "asked").count()
}

#[test]
fn why_a_stop_left_no_checkpoint_is_shown_wherever_somebody_looks() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("refused")?;
    space.apply(&Workload::new("job", &["python3", "/programs/refusing.py"]).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let said = space.follow("job-0")?;
    said.output.wait_for_lines(40)?;
    // The agent passes it on; from then on CRIU cannot dump the program.
    space.kubectl(&["exec", "job-0", "--", "sh", "-c", "kill -USR1 1"])?;
    said.output.wait_for("refusing")?;
    // So that what became of the pod can be read when it has ended.
    finalizers(&space, &json!(["crik.invalid/read"]))?;
    let node = node_of(&pod)?;
    turn.cluster.kubectl(&["cordon", &node])?;
    space.kubectl(&["delete", "pod", "job-0", "--wait=false"])?;
    let message = wait_for("the termination message", || {
        let state = &space.get("pod", "job-0").ok()?["status"]["containerStatuses"][0]["state"];
        Some(state["terminated"].as_object()?.get("message")?.as_str()?.to_owned())
    });
    finalizers(&space, &Value::Null)?;
    let message = message.with_context(|| said.output.text())?;
    ensure!(
        message.contains("crik: no checkpoint: ") && message.contains("corked dgram socket"),
        "{message}"
    );
    let said = said.whole()?;
    ensure!(said.contains("goodbye"), "the program got no SIGTERM:\n{said}");
    space.running("job-0", Some(&pod))?;
    let stop = format!("the last stop, of job-0 on {node}");
    let log = logs(&space, "job-0", "the application starts fresh")?;
    let list = space.kubectl(&["exec", "job-0", "--", "crik", "list"])?;
    for shown in [log, list] {
        ensure!(
            shown.contains(&stop) && shown.contains("corked dgram socket"),
            "{stop:?} is not in\n{shown}"
        );
    }
    space.held()
}

/// What keeps the pod from being removed when it has ended.
fn finalizers(space: &Space, names: &Value) -> Result<()> {
    let patch = json!({"metadata": {"finalizers": names}}).to_string();
    space.kubectl(&["patch", "pod", "job-0", "--type=merge", "--patch", &patch]).map(drop)
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
