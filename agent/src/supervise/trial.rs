//! A trial that somebody asks for: a checkpoint is taken of the program, which goes on, a copy is restored from it beside the program and
//! watched, and nothing of both is left.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::base::headway::Headway;
use crate::base::units;
use crate::base::whole_story::whole_story;
use crate::base::{free_memory, limits};
use crate::checkpoint::checkpointer::Checkpointer;
use crate::doctor::copy::{self, NoCopy, Watched};
use crate::store::generation::manifest::{self, Manifest};

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
    /// The copy, if there was one.
    pub copy: Option<Watched>,
}

impl Tried {
    fn new(checkpointer: &Checkpointer, shown: Shown, reasons: Vec<String>) -> Self {
        Self {
            shown,
            reasons,
            bytes: None,
            frozen_ms: None,
            durable_ms: None,
            patience_ms: units::whole_ms(checkpointer.patience()),
            grace_period_ms: units::whole_ms(checkpointer.workload.config.grace_period),
            copy: None,
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
    if let Some(why) = too_little_memory(&checkpointer) {
        return Ok(Tried::new(&checkpointer, Shown::NotTried, vec![why]));
    }
    match step(copy::check, &hurry).await? {
        Ok(()) => {}
        Err(NoCopy::GivenUp) => return Err(given_up()),
        Err(error) => return Ok(Tried::new(&checkpointer, Shown::NotTried, vec![error.to_string()])),
    }
    let (staging, manifest) = match checkpointer.trial(Arc::clone(&hurry)).await {
        Ok(taken) => taken,
        Err(error) => {
            let clean = checkpointer.clean_up();
            if let Some(clean) = clean {
                let _ = clean.await;
            }
            return Ok(Tried::new(&checkpointer, Shown::Failed, vec![whole_story(&error)]));
        }
    };
    let manifest = Arc::new(manifest);
    let (path, facts) = (staging.path().to_owned(), Arc::clone(&manifest));
    let resumed = step(move |headway| copy::resume(&path, &facts, headway), &hurry).await;
    let swept = spawn_blocking(move || staging.sweep()).await.map_err(anyhow::Error::from);
    if let Err(error) = swept.and_then(|done| Ok(done?)) {
        tracing::warn!("what a trial has made on the volume is left behind: {error}");
    }
    let tried = |shown, reasons| Tried::new(&checkpointer, shown, reasons).of(&manifest);
    match resumed? {
        Ok(copy) if copy.wrong.is_empty() => {
            Ok(Tried { copy: Some(copy), ..tried(Shown::Resumed, Vec::new()) })
        }
        Ok(copy) => Ok(Tried { copy: Some(copy.clone()), ..tried(Shown::Failed, copy.wrong) }),
        Err(NoCopy::NoPlace(why)) => Ok(tried(Shown::NotTried, vec![why])),
        Err(NoCopy::NotResumed(why)) => Ok(tried(Shown::Failed, vec![why])),
        Err(NoCopy::GivenUp) => Err(given_up()),
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
    let needed = checkpointer.would_write()?.saturating_add(limits::TRIAL_MEMORY_LEFT_BYTES);
    let free = free_memory::free()?;
    (free < needed).then(|| {
        format!(
            "a copy needs about {} of memory beside the program, and the container has {} left; raise its limit for the trial",
            units::bytes(needed),
            units::bytes(free)
        )
    })
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
    if let Some(copy) = &tried.copy {
        text += &format!(
            "the copy had {} threads, of which {} made further steps within a second and the others wait; nothing of it is left\n",
            copy.threads, copy.stepping
        );
    }
    text
}
