//! A trial that somebody asks for: a checkpoint is taken of the program, which goes on, a copy is restored from it beside the program and
//! watched, and nothing of both is left.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use crik_store::generation::manifest::{self, Manifest};
use crik_store::image_dir::Generation;
use crik_store::image_dir::staging::Staging;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::base::headway::Headway;
use crate::base::units;
use crate::base::whole_story::whole_story;
use crate::base::{free_memory, limits};
use crate::carry::terminal;
use crate::checkpoint::checkpointer::Checkpointer;
use crate::checkpoint::deadlines::patience;
use crate::checkpoint::kept_trial;
use crate::config::Config;
use crate::doctor::connections::Connections;
use crate::doctor::copy::{self, NoCopy, Watched};
use crate::tree::process::snapshot::Snapshot;

/// What a trial has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    /// The program goes on elsewhere.
    Resumed,
    /// It does not.
    Failed,
    /// Nothing: it cannot be tried here.
    NotTried,
    /// Nothing yet: another pod has to resume it.
    Kept,
}

/// What is told of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// What it has shown.
    pub shown: Shown,
    /// Why, if the copy does not run as it should.
    pub reasons: Vec<String>,
    /// Bytes of the checkpoint; none if there was none.
    pub bytes: Option<u64>,
    /// For how long the program stood still, in milliseconds.
    pub frozen_ms: Option<u64>,
    /// From the freeze until the image was durable, in milliseconds.
    pub durable_ms: Option<u64>,
    /// `gracePeriod` less what the application keeps of it and what it takes to give up, in milliseconds.
    pub patience_ms: u64,
    /// `gracePeriod`, in milliseconds.
    pub grace_period_ms: u64,
    /// What becomes of the program's connections; none where nobody has looked.
    #[serde(default)]
    pub connections: Option<Connections>,
    /// The copy, if there was one.
    pub copy: Option<Watched>,
    /// The image, if it is kept.
    #[serde(default)]
    pub image: Option<Kept>,
}

/// An image that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Where.
    pub path: PathBuf,
    /// The number that its manifest has.
    pub generation: Generation,
}

impl Tried {
    fn new(config: &Config, shown: Shown, reasons: Vec<String>) -> Self {
        Self {
            shown,
            reasons,
            bytes: None,
            frozen_ms: None,
            durable_ms: None,
            patience_ms: units::whole_ms(patience(config, None)),
            grace_period_ms: units::whole_ms(config.grace_period),
            connections: None,
            copy: None,
            image: None,
        }
    }

    /// What a copy has shown of the checkpoint with this manifest.
    ///
    /// # Errors
    /// It was given up.
    pub fn by_copy(config: &Config, manifest: &Manifest, copy: Result<Watched, NoCopy>) -> Result<Self> {
        let tried = |shown, reasons| Self::new(config, shown, reasons).of(manifest);
        match copy {
            Ok(copy) if copy.wrong.is_empty() => {
                Ok(Self { copy: Some(copy), ..tried(Shown::Resumed, Vec::new()) })
            }
            Ok(copy) => Ok(Self { copy: Some(copy.clone()), ..tried(Shown::Failed, copy.wrong) }),
            Err(NoCopy::NoPlace(why)) => Ok(tried(Shown::NotTried, vec![why])),
            Err(NoCopy::NotResumed(why)) => Ok(tried(Shown::Failed, vec![why])),
            Err(NoCopy::GivenUp) => Err(given_up()),
        }
    }

    fn of(mut self, manifest: &Manifest) -> Self {
        let took = |step: &str| manifest.durations_ms.get(step).copied();
        self.bytes = Some(manifest.total_bytes());
        self.frozen_ms = took(manifest::PAUSE);
        self.durable_ms = took(manifest::DUMP).zip(took(manifest::DURABLE)).map(|(dump, rest)| dump + rest);
        self
    }
}

/// Does it. It is given up as soon as there is a `hurry`.
///
/// # Errors
/// It was given up, or there is nothing to be tried.
pub async fn run(checkpointer: Arc<Checkpointer>, hurry: Arc<Notify>) -> Result<Tried> {
    let config = &checkpointer.workload.config;
    if let Some(why) = too_little_memory(&checkpointer).or_else(|| at_the_terminal(&checkpointer)) {
        return Ok(Tried::new(config, Shown::NotTried, vec![why]));
    }
    match step(copy::check, &hurry).await? {
        Ok(()) => {}
        Err(NoCopy::GivenUp) => return Err(given_up()),
        Err(error) => return Ok(Tried::new(config, Shown::NotTried, vec![error.to_string()])),
    }
    let connections = connections(&checkpointer).await;
    let (staging, manifest) = match take(&checkpointer, &hurry).await {
        Ok(taken) => taken,
        Err(failed) => return Ok(*failed),
    };
    let manifest = Arc::new(manifest);
    let (path, facts) = (staging.path().to_owned(), Arc::clone(&manifest));
    let resumed = step(move |headway| copy::resume(&path, &facts, headway), &hurry).await;
    let swept = spawn_blocking(move || staging.sweep()).await.map_err(anyhow::Error::from);
    if let Err(error) = swept.and_then(|done| Ok(done?)) {
        tracing::warn!("what a trial has made on the volume is left behind: {error}");
    }
    Ok(Tried { connections, ..Tried::by_copy(config, &manifest, resumed?)? })
}

/// Looked at before the freeze, which CRIU's own connections would be seen at.
async fn connections(checkpointer: &Arc<Checkpointer>) -> Option<Connections> {
    let checkpointer = Arc::clone(checkpointer);
    let look = move || {
        let tree = Snapshot::take().tree(checkpointer.running.root);
        Connections::of(&tree, &checkpointer.workload.config)
    };
    spawn_blocking(look).await.ok().flatten()
}

/// Takes the checkpoint and leaves it on the volume for a while, for another pod.
///
/// # Errors
/// None: what there is to say is told.
pub async fn keep(checkpointer: Arc<Checkpointer>, hurry: Arc<Notify>) -> Result<Tried> {
    let config = &checkpointer.workload.config;
    if let Some(why) = at_the_terminal(&checkpointer) {
        return Ok(Tried::new(config, Shown::NotTried, vec![why]));
    }
    let connections = connections(&checkpointer).await;
    let (staging, manifest) = match take(&checkpointer, &hurry).await {
        Ok(taken) => taken,
        Err(failed) => return Ok(*failed),
    };
    let path = checkpointer.kept.keep(staging);
    tokio::spawn(expire(Arc::clone(&checkpointer), path.clone()));
    let tried = Tried::new(config, Shown::Kept, Vec::new()).of(&manifest);
    Ok(Tried { connections, image: Some(Kept { path, generation: manifest.generation }), ..tried })
}

async fn expire(checkpointer: Arc<Checkpointer>, path: PathBuf) {
    sleep(limits::TRIAL_KEPT).await;
    let _ = spawn_blocking(move || kept_trial::tell(checkpointer.kept.expire(&path))).await;
}

async fn take(
    checkpointer: &Arc<Checkpointer>,
    hurry: &Arc<Notify>,
) -> Result<(Staging, Manifest), Box<Tried>> {
    let taken = checkpointer.trial(Arc::clone(hurry)).await;
    match taken {
        Ok(taken) => Ok(taken),
        Err(error) => {
            if let Some(clean) = checkpointer.clean_up() {
                let _ = clean.await;
            }
            let config = &checkpointer.workload.config;
            Err(Box::new(Tried::new(config, Shown::Failed, vec![whole_story(&error)])))
        }
    }
}

fn given_up() -> anyhow::Error {
    anyhow!("the trial was given up for something more important, or took too long")
}

/// A step that is given up when there is a hurry, which then has to be told once more to what comes next.
async fn step<T: Send + 'static>(
    work: impl FnOnce(&Headway) -> Result<T, NoCopy> + Send + 'static,
    hurry: &Notify,
) -> Result<Result<T, NoCopy>> {
    let headway = Arc::<Headway>::default();
    let asked = Arc::clone(&headway);
    let mut step = spawn_blocking(move || work(&asked));
    tokio::select! {
        done = &mut step => Ok(done?),
        () = hurry.notified() => {
            headway.give_up();
            let _ = step.await;
            Ok(Err(NoCopy::GivenUp))
        }
    }
}

/// The copy has as much memory as the program, and the container's may not be enough for both: then the kernel would end one of them.
fn too_little_memory(checkpointer: &Checkpointer) -> Option<String> {
    let needed = checkpointer.would_write().ok().flatten()?.saturating_add(limits::TRIAL_MEMORY_LEFT_BYTES);
    let free = free_memory::free()?;
    (free < needed).then(|| {
        format!(
            "a copy needs about {} of memory beside the program, and the container has {} left; raise its limit for the trial",
            units::bytes(needed),
            units::bytes(free)
        )
    })
}

/// No copy can have the terminal.
fn at_the_terminal(checkpointer: &Checkpointer) -> Option<String> {
    let names = terminal::of(&Snapshot::take().tree(checkpointer.running.root)).names;
    (!names.is_empty())
        .then(|| "the program is at the container's terminal, which a copy cannot have".to_owned())
}

/// As a person is told.
#[must_use]
pub fn told(tried: &Tried) -> String {
    let seconds = |ms: u64| format!("{:.2} s", Duration::from_millis(ms).as_secs_f64());
    let mut times = Vec::new();
    times.extend(tried.frozen_ms.map(|ms| format!("frozen {}", seconds(ms))));
    times.extend(tried.durable_ms.map(|ms| format!("durable after {}", seconds(ms))));
    times.extend(tried.copy.as_ref().map(|copy| format!("resumed in {}", seconds(copy.resumed_ms))));
    let heading = match tried.shown {
        Shown::Resumed => "the program was checkpointed, and a copy of it went on".to_owned(),
        Shown::Failed => format!("the program CANNOT go on elsewhere: {}", tried.reasons.join("; ")),
        Shown::NotTried => format!("it cannot be tried here: {}", tried.reasons.join("; ")),
        Shown::Kept => "the program was checkpointed, for a copy of it in a second pod".to_owned(),
    };
    let mut text = format!("trial: {heading}\n");
    if !times.is_empty() {
        let all = format!("gracePeriod {} s", tried.grace_period_ms / 1000);
        let fits = tried.durable_ms.map(|ms| match ms <= tried.patience_ms {
            true => format!("; fits {all}"),
            false => format!(
                "; does NOT fit {all}, of which {} are for the checkpoint",
                seconds(tried.patience_ms)
            ),
        });
        text += &format!("would be {}{}\n", times.join(", "), fits.unwrap_or_default());
    }
    let connections = tried.connections.as_ref().map(Connections::told).filter(|told| !told.is_empty());
    connections.iter().for_each(|told| text += &format!("{told}\n"));
    if let Some(copy) = &tried.copy {
        text += &format!(
            "the copy had {} threads, of which {} made further steps within a second and the others wait; nothing of it is left\n",
            copy.threads, copy.stepping
        );
    }
    text
}
