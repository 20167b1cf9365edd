//! The agent dies at every step there is, and the next pod goes on from the last committed generation or starts fresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use crik_store::base::fault_points::{PANIC_VARIABLE, Point, VARIABLE};
use crik_tests::bucket::Bucket;
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

/// Where the image directory is.
enum Place {
    Volume(Volume),
    /// Below this prefix.
    Bucket(Arc<Bucket>, String, Volume),
}

impl Place {
    fn pod(&self) -> Pod {
        let program = ["python3", "/programs/endings.py"];
        let pod = match self {
            // Which has all steps of the other form, and two more.
            Self::Volume(volume) => Pod::new(volume, "node-a", &program).set_config("format: chunks"),
            Self::Bucket(bucket, prefix, volume) => {
                bucket.pod_below(Pod::new(volume, "node-a", &program), prefix)
            }
        };
        pod.config("claimExpiry: 1s\nkeepGenerations: 2")
    }

    fn list(&self) -> Result<Value> {
        let (bucket, prefix) = match self {
            Self::Volume(volume) => return json(volume, &["list"]),
            Self::Bucket(bucket, prefix, _) => (bucket, prefix),
        };
        let dir = format!("s3://bucket/{prefix}/job-0");
        let told = bucket.told(&["list", "--output", "json", "--image-dir", &dir])?;
        serde_json::from_str(&told.out).with_context(|| told.err)
    }

    /// One that has the same in it, and is changed without it.
    fn copy(&self) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Ok(match self {
            Self::Volume(volume) => Self::Volume(volume.copy()?),
            Self::Bucket(bucket, prefix, _) => {
                let copy = format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed));
                bucket.copy_below(prefix, &copy)?;
                Self::Bucket(Arc::clone(bucket), copy, Volume::new()?)
            }
        })
    }
}

/// A workload with two generations of its own and an older one that a start removes.
struct Before {
    place: Place,
    output: String,
}

/// Gives it.
type Begin = fn() -> Result<Arc<Before>>;

fn on_a_volume() -> Result<Arc<Before>> {
    static BEFORE: Shared<Before> = Shared::new();
    BEFORE.get(|| begin(Place::Volume(Volume::new()?)))
}

fn in_a_bucket() -> Result<Arc<Before>> {
    static BEFORE: Shared<Before> = Shared::new();
    BEFORE.get(|| begin(Place::Bucket(Arc::new(Bucket::new()?), "checkpoints".to_owned(), Volume::new()?)))
}

fn begin(place: Place) -> Result<Before> {
    let pod = place.pod();
    let output = (0..3).map(|_| checkpointed(&pod)).collect::<Result<String>>()?;
    Ok(Before { place, output })
}

/// A pod to whose agent something happens at `point`: by `VARIABLE` it dies, by `PANIC_VARIABLE` it panics.
fn pod_with(variable: &str, point: Point, place: &Place, config: &str) -> Result<Pod> {
    let binary = cargo_bin("crik-agent", "crik", &["fault-points"])?;
    let pod = place.pod().replacement().config(config).binary(&binary);
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

/// What there is to resume.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Generation(u64),
    Fresh,
}

impl Next {
    fn on(place: &Place) -> Result<Self> {
        if !place.list()?["ended"].is_null() {
            return Ok(Self::Fresh);
        }
        newest(place).map(Self::Generation)
    }
}

/// The generation that a start tries first. What stands apart is not it.
fn newest(place: &Place) -> Result<u64> {
    let list = place.list()?;
    let generations = list["generations"].as_array().context("no list")?;
    let is_next = |row: &&Value| row["state"].as_str().is_some_and(|state| state.starts_with("next"));
    generations.iter().find(is_next).and_then(|row| row["generation"].as_u64()).context("nothing to resume")
}

/// The agent dies at `point` of a `life`. None if that life does not come by there.
fn die_and_go_on(before: &Before, point: Point, life: Life) -> Result<Option<String>> {
    let place = before.place.copy()?;
    let mut dying = pod_with(VARIABLE, point, &place, life.config())?.start()?;
    if life.lead(&mut dying)? != KILLED {
        return Ok(None);
    }
    go_on(&place, &(before.output.clone() + &dying.stdout.text())).map(Some)
}

/// The next pod finds what there is to resume, after all that was written before.
fn go_on(place: &Place, outputs: &str) -> Result<String> {
    let next = Next::on(place)?;
    let running = started(&place.pod().replacement())?;
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
fn panic_and_go_on(before: &Before, point: Point, life: Life) -> Result<Option<String>> {
    let place = before.place.copy()?;
    let before_it = newest(&place)?;
    let mut running = pod_with(PANIC_VARIABLE, point, &place, life.config())?.start()?;
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
        false if newest(&place).is_ok_and(|newest| newest == before_it) => before.output.clone(),
        false => steps,
    };
    let began = if resumed { "resumed" } else { "started fresh" };
    let next = go_on(&place, &outputs).with_context(|| running.transcript())?;
    Ok(Some(format!("{began}, and {next}")))
}

/// A case for every point, in the first life that comes by there.
fn at_every_point(
    title: &str,
    begin: Begin,
    case: fn(&Before, Point, Life) -> Result<Option<String>>,
) -> Result<()> {
    let before = begin()?;
    let mut table = Table::new(title);
    table.each(
        Point::ALL,
        |point| format!("{point:?}"),
        |point| {
            for life in [Life::Checkpoint, Life::End] {
                if let Some(said) = case(&before, *point, life)? {
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
    at_every_point("kill -9 of the agent, then a new pod", on_a_volume, die_and_go_on)
}

#[test]
fn so_it_may_when_its_image_directory_is_in_a_bucket() -> Result<()> {
    at_every_point("kill -9 of the agent, then a new pod, in a bucket", in_a_bucket, die_and_go_on)
}

#[test]
fn a_defect_of_the_agent_at_any_step_does_not_end_the_application() -> Result<()> {
    at_every_point("a panic of the agent", on_a_volume, panic_and_go_on)
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
    let before = on_a_volume()?;
    let mut table = Table::new("kill -9 of the agent in a periodic checkpoint, then a new pod");
    table.each(
        STEPS_OF_IT,
        |point| format!("{point:?}"),
        |point| {
            die_and_go_on(&before, *point, Life::Periodic)?
                .context("the periodic checkpoint did not come by here")
        },
    );
    table.finish()
}
