//! How a move stands, from what is written on its pod. Its times are written by another replica, or by anybody who may write to the
//! pod.

use std::time::Duration;

use crik_api::report::{Move, Step};
use k8s_openapi::jiff::Timestamp;

use super::reason::Reason;
use crate::base::limits;

/// How a move stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none, or one that was over long ago: the next eviction begins one.
    None,
    /// It waits for others, since then.
    Waits(Timestamp),
    /// The agent was asked, or takes the checkpoint.
    UnderWay {
        /// When the first eviction came.
        since: Timestamp,
    },
    /// Nothing is to be waited for any more, and why.
    Over(Reason),
}

/// How a move stands now, of a pod whose evictions may be held up for `deadline`.
pub fn standing(moving: Option<&Move>, deadline: Duration, now: Timestamp) -> Standing {
    let Some((moving, asked, at)) = moving.and_then(|moving| read(moving, now)) else {
        return Standing::None;
    };
    let last = asked + deadline;
    let begins = last.min(at + limits::MOVE_BEGINS);
    let (until, late) = match moving.step {
        Step::Waiting | Step::Begun => (last, Reason::Late),
        Step::Asked if begins < last => (begins, Reason::Unheard),
        Step::Asked => (last, Reason::Late),
        Step::Durable => (at, Reason::Durable),
        Step::Failed => (at, Reason::Failed),
        Step::Stayed | Step::Other => (at, Reason::Stayed),
    };
    match moving.step {
        // Whoever asks so late begins anew, or a drain that was given up would leave the pod without a checkpoint in the next one.
        _ if now >= until + deadline.max(limits::MOVE_OVER) => Standing::None,
        Step::Waiting if now < until => Standing::Waits(asked),
        Step::Asked | Step::Begun if now < until => Standing::UnderWay { since: asked },
        _ => Standing::Over(late),
    }
}

/// With its times. None if they cannot be, also since they are still to come: it would hold up evictions for as long.
fn read(moving: &Move, now: Timestamp) -> Option<(&Move, Timestamp, Timestamp)> {
    let time = |text: &str| text.parse().ok().filter(|time: &Timestamp| *time <= now + limits::CLOCK_SKEW);
    Some((moving, time(&moving.asked)?, time(&moving.at)?))
}
