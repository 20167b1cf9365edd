//! What was found that stands in the way of going on elsewhere, or may: one form for whoever looks, and for all who tell of it.

use std::fmt;

use crik_store::image_dir::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::base::edit::Edit;

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// No checkpoint can be taken.
    NoCheckpoint,
    /// A checkpoint would find no room.
    NoRoom,
    /// A checkpoint may not be resumed.
    MayNotBeResumed,
    /// Something waits for longer than it should.
    MayStandStill,
    /// Something is closed that could go on.
    IsClosed,
    /// Nothing for the checkpoints, and somebody should know.
    Danger,
}

/// How bad that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The program is protected all the same.
    Warning,
    /// It is not.
    NotProtected,
}

impl Effect {
    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::NoCheckpoint | Self::NoRoom => Severity::NotProtected,
            Self::MayNotBeResumed | Self::MayStandStill | Self::IsClosed | Self::Danger => Severity::Warning,
        }
    }

    /// What the log says of it, before what was found.
    fn heading(self) -> &'static str {
        match self {
            Self::NoCheckpoint => "no checkpoint can be taken here: ",
            Self::NoRoom => "a checkpoint may find no room by now: ",
            Self::MayNotBeResumed => "a checkpoint taken here may not be resumed: ",
            Self::IsClosed => "a checkpoint closes ",
            Self::MayStandStill | Self::Danger => "",
        }
    }

    /// What it means for who has the pod.
    fn why(self) -> &'static str {
        match self {
            Self::NoCheckpoint => {
                "as long as it is so there is no checkpoint, and a preemption costs what the program has in memory"
            }
            Self::NoRoom => {
                "a checkpoint would be refused, and a preemption costs what the program has in memory"
            }
            Self::MayNotBeResumed => {
                "checkpoints are taken, but the next pod may have to begin anew where they cannot be resumed"
            }
            Self::MayStandStill => {
                "checkpoints are taken and resumed, but on another node a part of the program may hang"
            }
            Self::IsClosed => {
                "checkpoints are taken and resumed, but the program finds them closed then; nothing is lost if it connects again"
            }
            Self::Danger => "checkpoints are taken and resumed all the same",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What follows from it.
    pub effect: Effect,
    /// How bad that is.
    pub severity: Severity,
    /// What it is, on what.
    pub what: String,
    /// What it means.
    pub why: String,
    /// What to do about it, where that is not said already.
    pub remedy: Option<String>,
    /// What to write for it, and where; for some there is nothing to be written. Where there are several, all of them.
    pub edits: Vec<Edit>,
}

impl Finding {
    /// With this effect, as an error tells it: what is wrong, and after a semicolon what to do.
    pub fn new(effect: Effect, told: impl fmt::Display) -> Self {
        let told = told.to_string();
        let (what, remedy) = match told.split_once("; ") {
            Some((what, remedy)) => (what.to_owned(), Some(remedy.to_owned())),
            None => (told, None),
        };
        Self {
            effect,
            severity: effect.severity(),
            what,
            why: effect.why().to_owned(),
            remedy,
            edits: Vec::new(),
        }
    }

    /// That no checkpoint can be taken.
    pub fn no_checkpoint(told: impl fmt::Display) -> Self {
        Self::new(Effect::NoCheckpoint, told)
    }

    /// With what to write.
    #[must_use]
    pub fn by(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        self.edits.extend(edits);
        self
    }

    /// Whether it is the same finding as another look's, which may have met another process or other numbers.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let bare = |finding: &Self| finding.what.replace(|c: char| c.is_ascii_digit(), "");
        self.effect == other.effect && (self.effect == Effect::NoRoom || bare(self) == bare(other))
    }

    /// The line of the log.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}{self}", self.effect.heading())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}

/// What all that was found comes to; `how` the program would go on.
pub fn verdict<'a>(found: impl Iterator<Item = &'a Finding> + Clone, how: String) -> Verdict {
    let of = |severity| found.clone().filter(move |one| one.severity == severity);
    Verdict {
        reasons: of(Severity::NotProtected).map(ToString::to_string).collect(),
        how,
        warnings: of(Severity::Warning).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_and_remedy_are_told_apart_and_together_they_are_what_was_said() {
        let said = "the capability SYS_PTRACE is missing; add it; then look";
        let finding = Finding::no_checkpoint(said);
        assert_eq!(
            (finding.what.as_str(), finding.remedy.as_deref()),
            ("the capability SYS_PTRACE is missing", Some("add it; then look"))
        );
        assert_eq!(finding.line(), format!("no checkpoint can be taken here: {said}"));
        assert_eq!(Finding::no_checkpoint("no criu").to_string(), "no criu");
    }

    #[test]
    fn another_process_or_another_number_is_no_other_finding() {
        let ring = |process| Finding::no_checkpoint(format!("process {process} has a ring; end it"));
        assert!(ring("312 (node)").is_same(&ring("44 (node)")));
        assert!(!ring("312 (node)").is_same(&ring("312 (java)")));
        let room = |free| Finding::new(Effect::NoRoom, format!("the volume has {free} free"));
        assert!(room("1 MB").is_same(&room("2 GB")));
    }
}
