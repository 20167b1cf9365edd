//! The attempts to resume a generation: who tried, and what came of it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::fault_points::{Point, reach};
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::{limits, units};
use crate::image_dir::error::ImageDirError;
use crate::image_dir::hold::Hold;
use crate::image_dir::json::to_json;
use crate::image_dir::pod::Pod;
use crate::image_dir::{Generation, ImageDir};

/// One attempt to resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The pod that tried.
    pub host: String,
    /// Its node.
    pub node: Option<String>,
    /// When, in seconds since 1970.
    pub at: u64,
    /// What came of it; none as long as it is not known, as when the node died meanwhile.
    pub outcome: Option<String>,
    /// True if it was cut off by a SIGTERM, which says nothing about the generation.
    #[serde(default)]
    pub interrupted: bool,
    /// True if the generation is not to blame: the tree has run for long enough afterwards, or the volume could not be read.
    #[serde(default)]
    pub settled: bool,
}

/// The account of all attempts, in `claims/` on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// All attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// What is written down of an attempt that worked.
pub const RESUMED: &str = "resumed";

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The tree runs.
    Resumed,
    /// It does not, for this reason.
    Failed(String),
    /// The pod was told to stop meanwhile.
    Interrupted,
    /// The volume could not be read, for this reason.
    Unread(String),
}

/// Why a generation may not be tried. Completes «generation N is skipped: …».
#[derive(Debug, Error)]
pub enum AttemptError {
    /// It was tried as often as it may be.
    #[error("it was resumed {attempts} times (maxRestores), the last time by {host}: {outcome}")]
    Exhausted {
        /// How often.
        attempts: usize,
        /// By whom last.
        host: String,
        /// With which outcome.
        outcome: String,
    },
    /// Something cuts every attempt off.
    #[error(
        "its restore was cut off by a SIGTERM {times} times in a row, the last time of {host}; a liveness probe does that: give the \
         container a startupProbe that waits longer than a restore takes; the checkpoint is kept"
    )]
    CutOff {
        /// How often.
        times: usize,
        /// Whose restore last.
        host: String,
    },
    /// The volume cannot be read or written.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

impl HasOutlook for AttemptError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Volume(error) => error.outlook(),
            Self::Exhausted { .. } | Self::CutOff { .. } => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Volume(error) if error.is_of_the_volume())
    }
}

/// An attempt of this pod, of which nobody knows yet what comes.
#[derive(Debug)]
pub struct OpenAttempt {
    hold: Arc<Hold>,
    generation: Generation,
    attempts: Attempts,
}

impl OpenAttempt {
    /// Notes an attempt of `pod` to resume `generation`, which holds the image directory. The attempt is on the volume before this returns,
    /// so that one that ends the pod counts too.
    ///
    /// # Errors
    /// It was tried `max` times, or the volume fails.
    pub fn begin(
        hold: &Arc<Hold>,
        generation: Generation,
        pod: &Pod,
        max: u32,
    ) -> Result<Self, AttemptError> {
        let mut attempts = Attempts::read(hold.dir(), generation)?;
        if attempts.counted() >= max as usize {
            return Err(exhausted(&attempts));
        }
        attempts.attempts.push(Attempt {
            host: pod.host.clone(),
            node: pod.node.clone(),
            at: units::now(),
            outcome: None,
            interrupted: false,
            settled: false,
        });
        let attempt = Self { hold: Arc::clone(hold), generation, attempts };
        attempt.write()?;
        reach(Point::AttemptRecorded);
        Ok(attempt)
    }

    /// Writes down what came of the attempt.
    ///
    /// # Errors
    /// The volume fails.
    pub fn record(mut self, outcome: &AttemptOutcome) -> Result<(), AttemptError> {
        if let Some(attempt) = self.attempts.attempts.last_mut() {
            attempt.interrupted = *outcome == AttemptOutcome::Interrupted;
            attempt.settled |= matches!(outcome, AttemptOutcome::Unread(_));
            attempt.outcome = Some(outcome.to_string());
        }
        self.write()?;
        reach(Point::OutcomeRecorded);
        self.attempts.tell_interruptions();
        Ok(())
    }

    fn write(&self) -> Result<(), AttemptError> {
        Ok(self.hold.put(&self.generation.attempts(), &to_json(&self.attempts))?)
    }
}

impl std::fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resumed => f.write_str(RESUMED),
            Self::Failed(reason) | Self::Unread(reason) => f.write_str(reason),
            Self::Interrupted => f.write_str("interrupted by a SIGTERM"),
        }
    }
}

impl Attempts {
    /// How many attempts count against `maxRestores`: those after which the tree did not run for long. One that a SIGTERM cut off
    /// says nothing, unless that happens again and again.
    pub fn counted(&self) -> usize {
        let bad = self.attempts.iter().filter(|attempt| !attempt.interrupted && !attempt.settled).count();
        bad + self.interrupted_lately().saturating_sub(limits::INTERRUPTIONS_FREE)
    }

    /// How many of the last attempts in a row were cut off.
    fn interrupted_lately(&self) -> usize {
        self.attempts.iter().rev().take_while(|attempt| attempt.interrupted).count()
    }

    /// Whether it was tried, and cut off each time.
    pub fn always_interrupted(&self) -> bool {
        !self.attempts.is_empty() && self.attempts.iter().all(|attempt| attempt.interrupted)
    }

    /// Whether it has been resumed.
    pub fn proven(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.outcome.as_deref() == Some(RESUMED))
    }

    /// Says what a person can do before it is too late.
    fn tell_interruptions(&self) {
        let times = self.interrupted_lately();
        if times > 1 {
            tracing::warn!(
                "a SIGTERM has cut the restore off {times} times in a row; if a liveness probe sends it, give the container a \
                 startupProbe that waits longer than a restore takes"
            );
        }
    }

    /// Why the last attempt failed, if it did and that is known.
    pub fn last_failure(&self) -> Option<&str> {
        let last = self.attempts.last().filter(|attempt| !attempt.interrupted)?;
        last.outcome.as_deref().filter(|outcome| *outcome != RESUMED)
    }

    /// Reads the account of `generation`. One that cannot be understood is taken for an empty one: it only counts attempts,
    /// and the next write mends it.
    ///
    /// # Errors
    /// The volume fails.
    pub fn read(dir: &ImageDir, generation: Generation) -> Result<Self, ImageDirError> {
        let name = generation.attempts();
        let path = dir.path_of(&name);
        match dir.read_small(&name) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Self::damaged(&path, &error)),
            Err(error) => Err(dir.at("read", &name)(error)),
            Ok(None) => Ok(Self::default()),
            Ok(Some(bytes)) => Ok(Self::parse(&bytes).unwrap_or_else(|error| Self::damaged(&path, &error))),
        }
    }

    fn damaged(path: &Path, error: &dyn std::error::Error) -> Self {
        tracing::warn!("{} is damaged and starts anew: {error}", path.display());
        Self::default()
    }

    /// Reads the contents of its file.
    ///
    /// # Errors
    /// They are not those of one.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// Writes down that the tree that was resumed from `generation` has run for long enough.
///
/// # Errors
/// The volume fails.
pub fn settle(hold: &Hold, generation: Generation) -> Result<(), ImageDirError> {
    let mut attempts = Attempts::read(hold.dir(), generation)?;
    match attempts.attempts.last_mut() {
        Some(last) => last.settled = true,
        // Nothing counts against it.
        None => return Ok(()),
    }
    hold.put(&generation.attempts(), &to_json(&attempts))
}

fn exhausted(attempts: &Attempts) -> AttemptError {
    let last = attempts.attempts.last();
    if let Some(last) = last.filter(|last| last.interrupted) {
        return AttemptError::CutOff { times: attempts.interrupted_lately(), host: last.host.clone() };
    }
    AttemptError::Exhausted {
        attempts: attempts.attempts.len(),
        host: last.map_or_else(|| "nobody".to_owned(), |attempt| attempt.host.clone()),
        outcome: last
            .and_then(|attempt| attempt.outcome.clone())
            .unwrap_or_else(|| "outcome unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests;
