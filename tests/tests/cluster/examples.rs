//! What is in `deploy/examples`, each run by its own manifest. The counter is the quick start's.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::cluster::Space;
use crik_tests::wait::wait_for;
use serde_json::Value;

use crate::{node_of, numbers, preempt, turn};

fn apply(space: &Space, path: &str) -> Result<()> {
    space.apply(&fs::read_to_string(workspace().join("deploy/examples").join(path))?)
}

/// Primes below 100,000,000 (OEIS A006880).
const PRIMES: &str = "result: 5761455";

#[test]
fn a_preempted_pod_of_a_job_counts_neither_as_done_nor_as_failed() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("batch")?;
    apply(&space, "batch/batch.yaml")?;
    let first = wait_for("a pod that has begun", || {
        let pods = space.pods("job-name=batch").ok()?;
        pods.into_iter().find(|pod| log_of(&space, pod).contains(" primes below "))
    })?;
    let name = first["metadata"]["name"].as_str().context("no name")?;
    let index = first["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].clone();
    let before = space.follow(name)?;
    turn.cluster.kubectl(&["cordon", &node_of(&first)?])?;
    space.kubectl(&["delete", "pod", name])?;
    turn.cluster.kubectl(&["uncordon", &node_of(&first)?])?;
    let before = before.whole()?;
    let next = wait_for("a pod in its place", || {
        let pods = space.pods("job-name=batch").ok()?;
        pods.into_iter().find(|pod| {
            pod["metadata"]["name"] != name
                && pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == index
        })
    })?;
    wait_for("it to go on", || log_of(&space, &next).contains("restored generation 00000001").then_some(()))
        .with_context(|| log_of(&space, &next))?;
    let pods = || space.pods("job-name=batch").unwrap_or_default();
    gets_on(
        "the job to be complete",
        || pods().iter().map(|pod| log_of(&space, pod).len()).sum(),
        || space.get("job", "batch").is_ok_and(|job| job["status"]["succeeded"] == 2),
    )?;
    let job = space.get("job", "batch")?;
    ensure!(job["status"]["failed"].as_u64().unwrap_or(0) == 0, "{}", job["status"]);
    // Each segment exactly once, by the two pods of one index as by the one pod of the other.
    for pod in space.pods("job-name=batch")? {
        let moved = pod["metadata"]["uid"] == next["metadata"]["uid"];
        let log = if moved { before.clone() } else { String::new() } + &log_of(&space, &pod);
        let (counted, results) = (counted(&log), log.matches(PRIMES).count());
        ensure!(results == 1, "{results} results in\n{log}");
        ensure!(counted.iter().copied().eq(segments()), "not each segment once, in order: {counted:?}");
    }
    space.held()
}

/// Up to where a log says that it has counted, line by line.
fn counted(log: &str) -> Vec<u64> {
    let ends = log.lines().filter_map(|line| line.split_once(" primes below ")?.1.parse().ok());
    ends.collect()
}

/// The ends of all segments, in the order in which `primes.py` counts them.
fn segments() -> impl Iterator<Item = u64> {
    (2..100_000_000).step_by(1 << 16).map(|low| (low + (1 << 16)).min(100_000_000))
}

fn log_of(space: &Space, pod: &Value) -> String {
    space.kubectl(&["logs", pod["metadata"]["name"].as_str().unwrap_or_default()]).unwrap_or_default()
}

#[test]
fn a_pod_without_any_volume_goes_on_from_a_bucket() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("bucket")?;
    apply(&space, "bucket/bucket.yaml")?;
    let pod = space.running("counter-0", None)?;
    let before = space.follow("counter-0")?;
    wait_for("it to count", || numbers(&before.output.text()).nth(2))
        .with_context(|| before.output.text())?;
    preempt(&space, &pod)?;
    let last = numbers(&before.whole()?).max().context("it did not count")?;
    let after = space.running("counter-0", Some(&pod))?;
    let first = wait_for("it to count on", || numbers(&log_of(&space, &after)).next())?;
    ensure!(first == last + 1, "{last} is followed by {first}\n{}", log_of(&space, &after));
    ensure!(log_of(&space, &after).contains("restored generation 00000001"), "{}", log_of(&space, &after));
    space.held()
}

#[test]
fn redis_keeps_its_data_in_memory() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("redis")?;
    apply(&space, "redis/redis.yaml")?;
    let pod = space.running("redis-0", None)?;
    let cli = |words: &[&str]| space.kubectl(&[&["exec", "redis-0", "--", "redis-cli"], words].concat());
    wait_for("redis to answer", || cli(&["ping"]).ok().filter(|answer| answer.trim() == "PONG"))?;
    let fill = "for i = 1, 100000 do redis.call('set', i, i) end return redis.call('dbsize')";
    let keys = cli(&["eval", fill, "0"])?;
    ensure!(keys.trim() == "100000", "{keys}");
    cli(&["set", "who", "the one before"])?;
    preempt(&space, &pod)?;
    wait_for("redis to answer", || cli(&["ping"]).ok().filter(|answer| answer.trim() == "PONG"))?;
    ensure!(cli(&["get", "who"])?.trim() == "the one before");
    let keys = cli(&["dbsize"])?;
    ensure!(keys.trim() == "100001", "{keys}");
    ensure!(cli(&["get", "77777"])?.trim() == "77777");
    // By its service too, which the next pod answers.
    let by_name =
        || cli(&["-h", "redis", "get", "who"]).ok().filter(|answer| answer.trim() == "the one before");
    wait_for("redis to answer by its service's name", by_name)?;
    space.held()
}

#[test]
fn a_training_run_that_is_moved_has_the_weights_of_one_that_is_not() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("training")?;
    apply(&space, "training/training.yaml")?;
    let first = wait_for("some epochs", || {
        let pod = space.pods("job-name=training").ok()?.pop()?;
        log_of(&space, &pod).contains("epoch 20 ").then_some(pod)
    })?;
    let name = first["metadata"]["name"].as_str().context("no name")?;
    turn.cluster.kubectl(&["cordon", &node_of(&first)?])?;
    space.kubectl(&["delete", "pod", name])?;
    turn.cluster.kubectl(&["uncordon", &node_of(&first)?])?;
    let moved = result(&space, "job-name=training")?;
    ensure!(moved.contains("restored generation 00000001"), "{moved}");
    // The same program in the same image, and nobody moves it.
    let plain = [
        "run",
        "plain",
        "--image=training:1",
        "--restart=Never",
        "--labels=job-name=plain",
        "--command",
        "--",
    ];
    space.kubectl(&[&plain[..], &["python3", "/app/train.py"]].concat())?;
    let digest = |log: &str| log.lines().find_map(|line| Some(line.strip_prefix("result: ")?.to_owned()));
    let plain = result(&space, "job-name=plain")?;
    ensure!(digest(&moved) == digest(&plain), "{:?} {:?}", digest(&moved), digest(&plain));
    space.held()
}

/// The log of the last pod, when it has a result.
fn result(space: &Space, selector: &str) -> Result<String> {
    let log = || space.pods(selector).ok().and_then(|mut pods| pods.pop()).map(|pod| log_of(space, &pod));
    let log = || log().unwrap_or_default();
    gets_on("a result", || log().len(), || log().contains("result: "))?;
    Ok(log())
}

/// Waits for an end as long as something grows: a busy machine computes slowly.
fn gets_on(what: &str, grows: impl Fn() -> usize, is_over: impl Fn() -> bool) -> Result<()> {
    while !is_over() {
        let before = grows();
        wait_for(what, || (is_over() || grows() > before).then_some(()))?;
    }
    Ok(())
}
