//! The recipes whose node is drained in the midst of their work, all of them at the same time.

use anyhow::{Result, ensure};
use crik_tests::cluster::Space;
use crik_tests::wait::wait_for;

use super::counting::{Counting, is_complete};
use super::{Part, apply, prepare, side_by_side};
use crate::{Turn, turn};

/// What is expected of a recipe after its node was drained.
type Check = Box<dyn FnOnce() -> Result<()> + Send>;

/// Brings a recipe so far that it has something to lose.
type Begin = fn(&Turn, &str) -> Result<Check>;

/// Those that go on for ever.
pub const ENDLESS: [(&str, Begin); 4] =
    [("deployment.yaml", counter), ("python.yaml", counter), ("node.yaml", counter), ("redis.yaml", redis)];

/// Those that end by themselves, and so begin when the others have.
pub const ENDING: [(&str, Begin); 3] = [
    ("job.yaml", |turn, file| job(turn, file, 1, 0)),
    // Kubernetes lets no such Job say what is no failure.
    ("job-on-failure.yaml", |turn, file| job(turn, file, 1, 1)),
    ("indexed-job.yaml", |turn, file| job(turn, file, 2, 0)),
];

#[test]
fn whatever_runs_on_a_node_that_is_drained_goes_on_at_the_other() -> Result<()> {
    let turn = turn()?;
    let _release = prepare(&turn)?;
    let [from, to] = [0, 1].map(|number: usize| turn.cluster.nodes()[number].name());
    turn.cluster.kubectl(&["cordon", &to])?;
    let (mut checks, shared) = (Vec::new(), &turn);
    for recipes in [&ENDLESS[..], &ENDING[..]] {
        let part = |&(file, begin): &(_, Begin)| -> Part<'_, Check> {
            (file, Box::new(move || begin(shared, file)))
        };
        checks.extend(side_by_side(recipes.iter().map(part))?);
    }
    turn.cluster.kubectl(&["uncordon", &to])?;
    drain(&turn, &from)?;
    side_by_side(checks).map(drop)
}

/// As an operator drains: nothing is said of crik.
fn drain(turn: &Turn, node: &str) -> Result<()> {
    let drain = ["drain", node, "--pod-selector=crik.dev/inject=true", "--timeout=120s"];
    // Whoever drains a node has to say that its pods' own emptyDirs may go, and each labelled pod has one.
    let refused = turn.cluster.kubectl(&drain);
    ensure!(
        refused.is_err_and(|error| format!("{error:#}").contains("--delete-emptydir-data")),
        "pods of emptyDirs are drained"
    );
    turn.cluster.kubectl(&[&drain[..], &["--delete-emptydir-data"]].concat()).map(drop)
}

fn counter(turn: &Turn, file: &str) -> Result<Check> {
    let counting = Counting::begin(turn, file, "app=counter", 1)?;
    Ok(Box::new(|| counting.goes_on()))
}

fn redis(turn: &Turn, file: &str) -> Result<Check> {
    let space = apply(turn, file)?;
    let pod = space.running("redis-0", None)?;
    let fill = "for i = 1, 100000 do redis.call('set', i, i) end return redis.call('dbsize')";
    let filled = wait_for("redis to answer", || cli(&space, &["eval", fill, "0"]).ok())?;
    ensure!(filled == "100000", "{filled}");
    Ok(Box::new(move || {
        space.running("redis-0", Some(&pod))?;
        let size = wait_for("redis to answer", || {
            cli(&space, &["dbsize"]).ok().filter(|size| !size.contains("LOADING"))
        })?;
        ensure!(size == "100000" && cli(&space, &["get", "77777"])? == "77777", "{size} keys are left");
        space.held()
    }))
}

fn cli(space: &Space, words: &[&str]) -> Result<String> {
    let said = space.kubectl(&[&["exec", "redis-0", "--", "redis-cli"], words].concat())?;
    Ok(said.trim().to_owned())
}

fn job(turn: &Turn, file: &str, pods: u32, failed: u32) -> Result<Check> {
    let counting = Counting::begin(turn, file, "job-name=sum", pods as usize)?;
    Ok(Box::new(move || {
        let space = counting.counts_to_the_end()?;
        is_complete(&space, "sum", pods, failed)?;
        space.held()
    }))
}
