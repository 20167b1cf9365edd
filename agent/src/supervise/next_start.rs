//! How the application ended, and what that means for the next start. Pure.

use crate::tree::process::reap::Status;

/// What the agent was doing when the application ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody had asked for anything.
    Running,
    /// The decision was `terminate`, and the SIGTERM was passed on.
    Terminating,
    /// A checkpoint failed, and the application got its SIGTERM instead.
    CheckpointFailed,
    /// The application got its SIGTERM, and nobody wanted its work to end: its container is stopped while its pod stays, or
    /// the pod has to make room.
    Interrupted,
}

/// Where the next start begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStart {
    /// From the beginning: the work is done, or someone wanted it stopped.
    Fresh,
    /// On the ladder: what was checkpointed is all there is.
    Ladder,
}

/// The table of ends.
pub fn next_start(phase: Phase, status: Status) -> NextStart {
    match (phase, status) {
        // By itself: finished. After a failed checkpoint: it has saved what it wanted.
        (Phase::Running | Phase::CheckpointFailed, Status::Exited(0)) => NextStart::Fresh,
        (Phase::Running | Phase::CheckpointFailed, _) => NextStart::Ladder,
        (Phase::Terminating, _) => NextStart::Fresh,
        // Whatever it makes of the SIGTERM.
        (Phase::Interrupted, _) => NextStart::Ladder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_resumed_and_an_orderly_end_is_not() {
        use NextStart::{Fresh, Ladder};
        for (phase, status, expected) in [
            (Phase::Running, Status::Exited(0), Fresh),
            (Phase::Running, Status::Exited(1), Ladder),
            (Phase::Running, Status::Signaled(11), Ladder),
            (Phase::Running, Status::Signaled(9), Ladder),
            (Phase::Terminating, Status::Exited(0), Fresh),
            (Phase::Terminating, Status::Exited(3), Fresh),
            (Phase::Terminating, Status::Signaled(15), Fresh),
            (Phase::Interrupted, Status::Exited(0), Ladder),
            (Phase::Interrupted, Status::Signaled(9), Ladder),
            (Phase::CheckpointFailed, Status::Exited(0), Fresh),
            (Phase::CheckpointFailed, Status::Exited(3), Ladder),
            (Phase::CheckpointFailed, Status::Signaled(9), Ladder),
        ] {
            assert_eq!(next_start(phase, status), expected, "{phase:?} {status}");
        }
    }
}
