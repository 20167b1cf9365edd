//! A checkpoint after which the program stands still until its pod is ended, or goes on if nobody ends it.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Deserialize;
use thiserror::Error;

use super::client::KubectlError;
use super::in_pod::InPod;
use crate::base::{limits, units};

/// What is asked of the crik in the pod.
const ASKED: [&str; 2] = ["checkpoint", "--stay-stopped"];

/// What it answers, as far as it is used here: it may be of another release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    /// Its number.
    pub generation: u64,
    /// Its size.
    pub bytes: u64,
    /// For how many milliseconds the program stands still from now on.
    #[serde(default)]
    stands_still_ms: u64,
}

impl Committed {
    /// Until when the program stands still at least, from its answer on.
    pub fn stands_still_until(self) -> Instant {
        Instant::now() + Duration::from_millis(self.stands_still_ms)
    }

    /// Until when its pod has to be deleted, so that it is told to end while it stands still.
    pub fn to_be_deleted_until(self) -> Instant {
        Instant::now() + Duration::from_millis(self.stands_still_ms).saturating_sub(limits::UNTIL_IT_ENDS)
    }

    /// For a person.
    pub fn told(self) -> String {
        format!("generation {} is durable, {}", self.generation, units::bytes(self.bytes))
    }
}

/// The crik in the pod says that there is none.
#[derive(Debug, Error)]
#[error("{0}; the program goes on, and nothing is changed")]
pub struct NoCheckpoint(String);

/// Has one taken.
///
/// # Errors
/// There is none, and the program goes on; or it is not known whether there is one, and the program goes on in a minute.
pub fn stop(crik: &InPod<'_>) -> Result<Committed> {
    crik.json(&ASKED).map_err(|error| match error.to_string() {
        said if said.contains("unexpected argument '--stay-stopped'") => anyhow!(
            "the crik in the pod is of an older release, which cannot keep a program stopped; nothing is changed. Use kubectl crik checkpoint"
        ),
        said if said.starts_with("no checkpoint") => NoCheckpoint(said).into(),
        _ if error.is::<KubectlError>() => error.context("nothing is changed"),
        _ => error.context("no answer of the crik in the pod; the program goes on, a minute after its checkpoint at the latest"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_deleted_well_before_its_program_goes_on() {
        let committed = Committed { generation: 1, bytes: 1, stands_still_ms: 60_000 };
        let reserve = committed.stands_still_until() - committed.to_be_deleted_until();
        assert!(reserve.as_secs().abs_diff(limits::UNTIL_IT_ENDS.as_secs()) <= 1, "{reserve:?}");
        let over = Committed { stands_still_ms: 0, ..committed };
        assert!(over.to_be_deleted_until() <= Instant::now());
    }
}
