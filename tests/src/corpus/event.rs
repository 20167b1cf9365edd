//! What happens to a program that is moved, and where one did not go on.

use std::fmt;

use anyhow::Error;
use serde::{Deserialize, Serialize};

/// What happens to a program on its way from pod to pod. As the context of an error it tells at which of them it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Event {
    /// It is started, and state is put into it.
    Started,
    /// Its pod is deleted under load: a checkpoint is taken.
    Preempted,
    /// A pod on another node goes on with it: its state is there, and it works.
    Resumed,
    /// That pod is deleted under load, too: a fresh checkpoint of what was resumed is taken.
    PreemptedAgain,
}

impl fmt::Display for Event {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Started => "started",
            Self::Preempted => "preempted",
            Self::Resumed => "resumed elsewhere",
            Self::PreemptedAgain => "preempted again",
        })
    }
}

/// At what a program did not go on, and why, in a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// At what.
    pub event: Event,
    /// What was said first of it, which is the sentence of who knows most: of CRIU if it told an error, and else of what was seen of the
    /// program. What that comes from (no answer within a time) tells a reader less.
    pub why: String,
}

impl Failure {
    /// What an error tells that has an [`Event`] as its context; without one the program was not even started.
    pub fn of(error: &Error) -> Self {
        let event = error.downcast_ref::<Event>().copied();
        let mut told = error.chain().map(ToString::to_string);
        if let Some(event) = event {
            told.find(|message| *message == event.to_string());
        }
        let why = told.next().unwrap_or_default();
        let why = why.lines().next().unwrap_or_default().trim().to_owned();
        Self { event: event.unwrap_or(Event::Started), why }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_is_told_is_the_sentence_below_the_event() {
        let error = anyhow!("not within 30s")
            .context("its state is not there: \n--- stdout\nmuch")
            .context(Event::Resumed)
            .context("after move 2");
        let failure = Failure::of(&error);
        assert_eq!((failure.event, failure.why.as_str()), (Event::Resumed, "its state is not there:"));
    }

    #[test]
    fn what_has_no_event_was_not_started() {
        let failure = Failure::of(&anyhow!("no volume"));
        assert_eq!((failure.event, failure.why.as_str()), (Event::Started, "no volume"));
    }
}
