//! What an Event on a pod says. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use crik_api::report::{Checkpointed, Occasion, Resumed, What};

use crate::workloads::Workload;

/// What an Event says.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// What happened, in one word.
    pub reason: &'static str,
    /// Whether somebody should look at it.
    pub is_warning: bool,
    /// The same for people.
    pub message: String,
}

/// What the Event says of a report, if there is to be one: none for what repeats itself for as long as a program runs.
pub fn said(pod: &Workload, what: &What) -> Option<Said> {
    let was_protected = pod.protection.as_ref().map(|told| told.protected);
    let (reason, is_warning, message) = match what {
        What::Examined(told) if told.protected => {
            return (was_protected == Some(false)).then(|| normal("Protected", again_protected()));
        }
        What::Examined(_) if was_protected == Some(false) => return None,
        What::Examined(told) => ("NotProtected", true, not_protected(told.why.as_deref())),
        What::Resumed(resumed) => ("Resumed", false, resumed_in_words(resumed)),
        What::StartedFresh { why: None } => (
            "StartedFresh",
            false,
            "The program begins from its beginning; there was no checkpoint".to_owned(),
        ),
        What::StartedFresh { why: Some(why) } => {
            ("StartedFresh", true, format!("The program begins from its beginning: {why}"))
        }
        What::Checkpointed(Checkpointed { occasion: Occasion::Interval, .. }) => return None,
        What::Checkpointed(checkpointed) => ("Checkpointed", false, checkpointed_in_words(checkpointed)),
        What::NotCheckpointed { occasion: Occasion::Interval, .. } if pod.last_failure.is_some() => {
            return None;
        }
        What::NotCheckpointed { occasion, why } => {
            ("NotCheckpointed", true, format!("There is no checkpoint ({}): {why}", occasion.as_str()))
        }
        What::ToldToStop { why } => {
            ("ToldToStop", false, format!("The program is told to stop, without a checkpoint: {why}"))
        }
        What::Stayed => ("Stayed", false, stayed()),
        What::MoveBegun { .. } | What::Unknown => return None,
    };
    Some(Said { reason, is_warning, message })
}

fn normal(reason: &'static str, message: String) -> Said {
    Said { reason, is_warning: false, message }
}

fn again_protected() -> String {
    "The program could go on elsewhere again".to_owned()
}

fn not_protected(why: Option<&str>) -> String {
    format!("The program could not go on elsewhere: {}", why.unwrap_or("its agent does not say why"))
}

fn stayed() -> String {
    "Nobody has ended the pod after the checkpoint for its move, so the program goes on here".to_owned()
}

fn resumed_in_words(resumed: &Resumed) -> String {
    let Resumed { generation, seconds, saved_seconds, from, skipped } = resumed;
    let saved = humantime::format_duration(Duration::from_secs(*saved_seconds as u64));
    let mut text = format!("The program goes on from checkpoint {generation}, after {seconds:.1} s");
    if let Some(from) = from {
        let _ = write!(text, "; it was taken on the node {from}");
    }
    let _ = write!(text, "; {saved} of work are not done again");
    for one in skipped {
        let _ = write!(text, "; checkpoint {} was passed over: {}", one.generation, one.why);
    }
    text
}

fn checkpointed_in_words(checkpointed: &Checkpointed) -> String {
    let Checkpointed { generation, occasion, frozen_seconds, durable_seconds, bytes, new_bytes, .. } =
        checkpointed;
    format!(
        "Checkpoint {generation} ({}) was durable after {durable_seconds:.1} s; the program stood still for {frozen_seconds:.1} s; \
         {}, {} of it new",
        occasion.as_str(),
        mebibytes(*bytes),
        mebibytes(*new_bytes),
    )
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
