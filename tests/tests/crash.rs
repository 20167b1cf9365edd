//! The agent dies at every step there is, and the next pod goes on from the last committed generation or starts fresh.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use crik_store::base::fault_points::{PANIC_VARIABLE, Point, VARIABLE};
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::crik::json;
use crik_tests::pod::{Pod, Running};
use crik_tests::shared::Shared;
use crik_tests::story::{CHECKPOINTED, STEPS, checkpointed, resumes, started, starts_fresh};
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;
use serde_json::Value;

/// What `kill -9` leaves.
const KILLED: i32 = 128 + 9;

/// A workload with two generations of its own and an older one that a start removes.
struct Before {
    volume: Volume,
    output: String,
}

fn before() -> Result<Arc<Before>> {
    static BEFORE: Shared<Before> = Shared::new();
    BEFORE.get(|| {
        let volume = Volume::new()?;
        let pod = pod(&volume);
        let output = (0..3).map(|_| checkpointed(&pod)).collect::<Result<String>>()?;
        Ok(Before { volume, output })
    })
}

fn pod(volume: &Volume) -> Pod {
    // Which has all steps of the other form, and two more.
    Pod::new(volume, "node-a", &["python3", "/programs/endings.py"])
        .set_config("format: chunks")
        .config("claimExpiry: 1s\nkeepGenerations: 2")
}

/// A pod to whose agent something happens at `point`: by `VARIABLE` it dies, by `PANIC_VARIABLE` it panics.
fn pod_with(variable: &str, point: Point, volume: &Volume, config: &str) -> Result<Pod> {
    let binary = cargo_bin("crik-agent", "crik", &["fault-points"])?;
    let pod = pod(volume).replacement().config(config).binary(&binary);
    Ok(pod.with(|spec| spec.env(variable, &format!("{point:?}"))))
}

/// How the life in which the agent dies would have ended.
#[derive(Debug, Clone, Copy)]
enum Life {
    Checkpoint,
    End,
    Periodic,
}

impl Life {
    fn config(self) -> &'static str {
        if let Self::Periodic = self { "interval: 1s" } else { "" }
    }

    /// How it ends if the agent lives: the program has no answer to a SIGTERM, so that both ends of a stop look the same.
    fn exit_code(self) -> i32 {
        if let Self::Checkpoint = self { CHECKPOINTED } else { 0 }
    }

    fn lead(self, running: &mut Running) -> Result<i32> {
        // At a step of the start it never gets as far.
        let _ = match self {
            Self::Checkpoint => steps_then(running, Signal::SIGTERM),
            Self::End => steps_then(running, Signal::SIGUSR1),
            Self::Periodic => Ok(()),
        };
        running.wait()
    }
}

/// Sends a signal once the program has made some steps, if the container lives so long.
fn steps_then(running: &mut Running, signal: Signal) -> Result<()> {
    running.stdout.wait_for_lines_or_end(STEPS)?;
    if signal == Signal::SIGTERM { running.signal(signal) } else { running.send(signal) }
}

/// What a volume has to resume.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Generation(u64),
    Fresh,
}

impl Next {
    fn on(volume: &Volume) -> Result<Self> {
        if volume.path().join("job-0/ended.json").exists() {
            return Ok(Self::Fresh);
        }
        newest(volume).map(Self::Generation)
    }
}

/// The generation that a start tries first. What stands apart is not it.
fn newest(volume: &Volume) -> Result<u64> {
    let list = json(volume, &["list"])?;
    let generations = list["generations"].as_array().context("no list")?;
    let is_next = |row: &&Value| row["state"].as_str().is_some_and(|state| state.starts_with("next"));
    generations.iter().find(is_next).and_then(|row| row["generation"].as_u64()).context("nothing to resume")
}

/// The agent dies at `point` of a `life`. None if that life does not come by there.
fn die_and_go_on(point: Point, life: Life) -> Result<Option<String>> {
    let before = before()?;
    let volume = before.volume.copy()?;
    let mut dying = pod_with(VARIABLE, point, &volume, life.config())?.start()?;
    if life.lead(&mut dying)? != KILLED {
        return Ok(None);
    }
    go_on(&volume, &(before.output.clone() + &dying.stdout.text())).map(Some)
}

/// The next pod finds what there is to resume, after all that was written before.
fn go_on(volume: &Volume, outputs: &str) -> Result<String> {
    let next = Next::on(volume)?;
    let running = started(&pod(volume).replacement())?;
    match next {
        Next::Fresh => {
            starts_fresh(&running)?;
            chain::verify(&[running.stdout.text()])?;
            Ok("the next pod starts fresh, after the end".to_owned())
        }
        Next::Generation(number) => {
            resumes(&running, number)?;
            chain::verify_repeated(outputs, &running.stdout.text()).with_context(|| running.transcript())?;
            Ok(format!("the next pod resumes generation {number}"))
        }
    }
}

/// The agent panics at `point` of a `life`: the application runs and ends all the same. None if that life does not come by
/// there.
fn panic_and_go_on(point: Point, life: Life) -> Result<Option<String>> {
    let before = before()?;
    let volume = before.volume.copy()?;
    let before_it = newest(&volume)?;
    let mut running = pod_with(PANIC_VARIABLE, point, &volume, life.config())?.start()?;
    let code = life.lead(&mut running)?;
    let (said, steps) = (running.stderr.text(), running.stdout.text());
    if !said.contains("a test wanted a panic at") {
        return Ok(None);
    }
    ensure!(code == life.exit_code(), "exit code {code}\n{}", running.transcript());
    ensure!(steps.lines().count() >= STEPS, "it did not run\n{}", running.transcript());
    let resumed = said.contains("restored generation");
    let outputs = match resumed {
        true => before.output.clone() + &steps,
        // It knows nothing of what there was, or has left nothing behind.
        false if newest(&volume).is_ok_and(|newest| newest == before_it) => before.output.clone(),
        false => steps,
    };
    let began = if resumed { "resumed" } else { "started fresh" };
    let next = go_on(&volume, &outputs).with_context(|| running.transcript())?;
    Ok(Some(format!("{began}, and {next}")))
}

/// A case for every point, in the first life that comes by there.
fn at_every_point(title: &str, case: fn(Point, Life) -> Result<Option<String>>) -> Result<()> {
    let _kept = before()?;
    let mut table = Table::new(title);
    table.each(
        Point::ALL,
        |point| format!("{point:?}"),
        |point| {
            for life in [Life::Checkpoint, Life::End] {
                if let Some(said) = case(*point, life)? {
                    return Ok(said);
                }
            }
            bail!("no life came by here");
        },
    );
    table.finish()
}

#[test]
fn the_agent_may_die_at_every_step() -> Result<()> {
    at_every_point("kill -9 of the agent, then a new pod", die_and_go_on)
}

#[test]
fn a_defect_of_the_agent_at_any_step_does_not_end_the_application() -> Result<()> {
    at_every_point("a panic of the agent", panic_and_go_on)
}

#[test]
fn the_agent_may_die_at_every_step_of_a_periodic_checkpoint() -> Result<()> {
    const STEPS_OF_IT: &[Point] = &[
        Point::RoomMade,
        Point::StagingMade,
        Point::BeforeFreeze,
        Point::Dumped,
        Point::Frozen,
        Point::Sealed,
        Point::ManifestWritten,
        Point::NumberFreed,
        Point::Renamed,
        Point::Committed,
    ];
    let _kept = before()?;
    let mut table = Table::new("kill -9 of the agent in a periodic checkpoint, then a new pod");
    table.each(
        STEPS_OF_IT,
        |point| format!("{point:?}"),
        |point| {
            die_and_go_on(*point, Life::Periodic)?.context("the periodic checkpoint did not come by here")
        },
    );
    table.finish()
}
