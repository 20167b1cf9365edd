//! What a report changes on its Pod, and whether an Event tells of it. Pure.

use crik_api::report::{
    LAST_CHECKPOINT, LAST_FAILURE, LAST_REPORT, LAST_START, LastCheckpoint, LastFailure, LastStart, MOVE,
    Move, Occasion, PROTECTION, Report, ReportId, Step, What,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::words::{Said, said};
use crate::base::limits;
use crate::workloads::Workload;

/// What a report changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Annotations with what each is to say; none takes it away.
    pub annotations: Vec<(&'static str, Option<String>)>,
    /// What the condition [`RESTORED`](crik_api::report::RESTORED) is to say.
    pub restored: Option<Restored>,
    /// What an Event tells.
    pub event: Option<Said>,
    /// When it happened.
    pub at: Timestamp,
}

/// What the condition is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Whether the program has been started or resumed.
    pub is_so: bool,
    /// Why, in one word.
    pub reason: &'static str,
    /// Whether it was otherwise before.
    pub turns: bool,
}

/// Whether the report was taken before. A container that was restarted may have a smaller id than the last one only if that is of a time
/// to come: the clock of its machine was wrong, or somebody has made it up.
pub fn is_repeat(id: ReportId, last: Option<ReportId>, now: Timestamp) -> bool {
    let soonest = now.as_millisecond().saturating_add_unsigned(millis(limits::CLOCK_SKEW));
    let of_future = |last: ReportId| i128::from(last.began) > i128::from(soonest);
    last.is_some_and(|last| id <= last && !(id.began != last.began && of_future(last)))
}

/// What comes of the report for the pod as it is.
pub fn change(pod: &Workload, report: &Report, now: Timestamp) -> Change {
    let ago = SignedDuration::try_from_secs_f64(report.seconds_ago).unwrap_or_default();
    let at = now.checked_sub(ago).unwrap_or(now);
    let mut annotations = vec![(LAST_REPORT, json(&report.id))];
    annotations.extend(stands(pod, &report.what, at));
    if annotations.iter().all(|(name, _)| *name != MOVE) {
        annotations.extend(given_up(pod, report.id));
    }
    Change { annotations, restored: restored(pod, report), event: said(pod, &report.what), at }
}

/// What takes a move away that another agent has begun, or has not: its container was started anew, and nobody ends that move. The next
/// eviction asks the one that runs.
fn given_up(pod: &Workload, id: ReportId) -> Option<(&'static str, Option<String>)> {
    let is_another_agent = pod.last_report.is_some_and(|last| last.began != id.began);
    let is_under_way = |of: &Move| matches!(of.step, Step::Asked | Step::Begun);
    (is_another_agent && pod.moving.as_ref().is_some_and(is_under_way)).then_some((MOVE, None))
}

/// What is known of the program since then.
fn stands(pod: &Workload, what: &What, since: Timestamp) -> Vec<(&'static str, Option<String>)> {
    let at = format!("{since:.3}");
    match what.clone() {
        What::Examined(told) => vec![(PROTECTION, json(&told))],
        What::Resumed(resumed) => {
            vec![(LAST_START, json(&LastStart { at, resumed: Some(resumed), why_fresh: None }))]
        }
        What::StartedFresh { why } => {
            vec![(LAST_START, json(&LastStart { at, resumed: None, why_fresh: why }))]
        }
        What::MoveBegun { asked } => {
            let is_asked = |of: &Move| of.asked == asked && matches!(of.step, Step::Waiting | Step::Asked);
            moved(pod, Step::Begun, at, None, is_asked)
        }
        What::Checkpointed(checkpoint) => {
            let moved = of_move(pod, checkpoint.occasion, Step::Durable, since, None);
            let last = (LAST_CHECKPOINT, json(&LastCheckpoint { at, checkpoint }));
            [vec![last, (LAST_FAILURE, None)], moved].concat()
        }
        What::NotCheckpointed { occasion, why } => {
            let moved = of_move(pod, occasion, Step::Failed, since, Some(why.clone()));
            let failure = (LAST_FAILURE, json(&LastFailure { at, occasion, why }));
            [vec![failure], moved].concat()
        }
        What::Stayed => moved(pod, Step::Stayed, at, None, |of| of.step == Step::Durable),
        What::ToldToStop { .. } | What::Unknown => Vec::new(),
    }
}

/// How a checkpoint ends the move that it was for, which is none that was asked for after that.
fn of_move(
    pod: &Workload,
    occasion: Occasion,
    step: Step,
    at: Timestamp,
    why: Option<String>,
) -> Vec<(&'static str, Option<String>)> {
    let is_before = |asked: Timestamp| asked <= at + limits::MOVE_CLOCKS_DIFFER;
    let is_ended = |of: &Move| {
        let is_under_way = occasion == Occasion::Move && matches!(of.step, Step::Asked | Step::Begun);
        is_under_way && of.asked.parse().is_ok_and(is_before)
    };
    moved(pod, step, format!("{at:.3}"), why, is_ended)
}

/// The next step of the pod's move, if it has one that this is true of.
fn moved(
    pod: &Workload,
    step: Step,
    at: String,
    why: Option<String>,
    applies: impl FnOnce(&Move) -> bool,
) -> Vec<(&'static str, Option<String>)> {
    let moving = pod.moving.as_ref().filter(|of| applies(of));
    moving.map(|of| (MOVE, json(&Move { asked: of.asked.clone(), step, at, why }))).into_iter().collect()
}

/// Where the pod names the readiness gate: the program runs, or another agent has begun and it does not yet.
fn restored(pod: &Workload, report: &Report) -> Option<Restored> {
    let is_another_agent = pod.last_report.is_none_or(|last| last.began != report.id.began);
    let (is_so, reason) = match &report.what {
        What::Resumed(_) => (true, "Resumed"),
        What::StartedFresh { .. } => (true, "StartedFresh"),
        _ if is_another_agent => (false, "Starting"),
        _ => return None,
    };
    pod.has_gate.then_some(Restored { is_so, reason, turns: pod.is_restored != Some(is_so) })
}

fn json(value: &impl Serialize) -> Option<String> {
    // Of a type that can always be written.
    serde_json::to_string(value).ok()
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
