//! The recipes whose programs count aloud: each line is a number and the sum of all up to it, which they know from their memory alone.

use anyhow::{Context as _, Result, ensure};
use crik_tests::cluster::{Follower, Space};
use crik_tests::wait::wait_for;
use serde_json::Value;

use super::apply;
use crate::{Turn, whole_lines};

/// How far those count that have an end.
const LAST: u64 = 300;

/// How many numbers show that a program runs.
const SOME: usize = 20;

/// A recipe whose pods have begun to count.
pub struct Counting {
    /// Its namespace.
    pub space: Space,
    selector: &'static str,
    before: Vec<Before>,
}

/// A pod, and what comes out of it.
struct Before {
    pod: Value,
    said: Follower,
}

impl Counting {
    /// Applies a recipe, and waits until so many pods have counted a little.
    pub fn begin(turn: &Turn, file: &str, selector: &'static str, pods: usize) -> Result<Self> {
        Self::of(apply(turn, file)?, selector, pods)
    }

    /// Likewise of a recipe that is applied already.
    pub fn of(space: Space, selector: &'static str, count: usize) -> Result<Self> {
        let running = || space.pods(selector).ok().filter(|all| all.len() == count && all.iter().all(runs));
        let pods = wait_for(&format!("{count} pods to run"), running).with_context(|| space.describe())?;
        let before = pods.into_iter().map(|pod| Before::of(&space, pod)).collect::<Result<Vec<_>>>()?;
        Ok(Self { space, selector, before })
    }

    /// Expects of pods without an end that each of their successors counts on from the very next number.
    pub fn goes_on(self) -> Result<()> {
        let Self { space, selector, before } = self;
        for before in before {
            let next = successor(&space, selector, &before.pod)?;
            let counts = || Some(log(&space, &next)).filter(|log| numbers(log).count() >= SOME);
            let after = wait_for("it to count on", counts).with_context(|| log(&space, &next))?;
            goes_on_from(&before.said.whole()?, &whole_lines(&after))?;
        }
        space.held()
    }

    /// Expects of a Job's pods that their successors count to the end.
    pub fn counts_to_the_end(self) -> Result<Space> {
        let Self { space, selector, before } = self;
        for before in before {
            let next = successor(&space, selector, &before.pod)?;
            let ended =
                || Some(log(&space, &next)).filter(|log| numbers(log).any(|(number, _)| number == LAST));
            let after = wait_for("it to count to the end", ended).with_context(|| log(&space, &next))?;
            let last = goes_on_from(&before.said.whole()?, &after)?;
            ensure!(last == LAST, "it ends with {last}");
        }
        Ok(space)
    }

    /// Waits until no pod is left.
    pub fn stopped(&self) -> Result<()> {
        let none = || self.space.pods(self.selector).ok().filter(Vec::is_empty).map(drop);
        wait_for("all pods to be gone", none).with_context(|| self.space.describe())
    }
}

impl Before {
    fn of(space: &Space, pod: Value) -> Result<Self> {
        let said = space.follow(name(&pod))?;
        wait_for("it to count", || numbers(&said.output.text()).nth(SOME))
            .with_context(|| format!("{}\n{}", said.output.text(), space.describe()))?;
        Ok(Self { pod, said })
    }
}

/// Expects of a Job that all of its pods have succeeded, and how many it takes for failed.
pub fn is_complete(space: &Space, job: &str, succeeded: u32, failed: u32) -> Result<()> {
    let complete = || {
        let status = space.get("job", job).ok()?["status"].clone();
        (status["succeeded"] == succeeded && status["completionTime"].is_string()).then_some(status)
    };
    let status =
        wait_for(&format!("the Job {job} to be complete"), complete).with_context(|| space.describe())?;
    let counted = status["failed"].as_u64().unwrap_or(0);
    ensure!(counted == u64::from(failed), "{counted} pods have failed, and not {failed}: {status}");
    Ok(())
}

fn runs(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["running"].is_object()
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

fn log(space: &Space, pod: &Value) -> String {
    space.kubectl(&["logs", name(pod)]).unwrap_or_default()
}

/// What a pod is for: the Job and the index of it, if it has them.
fn place(pod: &Value) -> [Value; 2] {
    let metadata = &pod["metadata"];
    let index = &metadata["annotations"]["batch.kubernetes.io/job-completion-index"];
    [metadata["labels"]["batch.kubernetes.io/job-name"].clone(), index.clone()]
}

/// Waits for the pod that has taken a pod's place, and gone on where that was.
fn successor(space: &Space, selector: &str, pod: &Value) -> Result<Value> {
    let is_next = |other: &Value| {
        other["metadata"]["uid"] != pod["metadata"]["uid"]
            && place(other) == place(pod)
            && log(space, other).contains("restored generation 00000001")
    };
    wait_for(&format!("a pod that goes on with the work of {}", name(pod)), || {
        space.pods(selector).ok()?.into_iter().find(is_next)
    })
    .with_context(|| space.describe())
}

/// The numbers and sums in a log.
fn numbers(log: &str) -> impl Iterator<Item = (u64, u64)> {
    log.lines().filter_map(|line| {
        let (number, total) = line.split_once(' ')?;
        Some((number.parse().ok()?, total.parse().ok()?))
    })
}

/// Expects that two pods have counted each number once, and summed it up. Returns the last one.
fn goes_on_from(before: &str, after: &str) -> Result<u64> {
    let (mut last, mut sum) = (0, 0);
    for (number, total) in numbers(before).chain(numbers(after)) {
        ensure!(number == last + 1, "{number} follows {last}\n{before}\n{after}");
        ensure!(total == sum + number, "the sum of all up to {number} is not {total}");
        (last, sum) = (number, total);
    }
    Ok(last)
}
