//! The claim: a pod's durable right to resume a generation, and the account of every attempt.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::durable::{to_json, write_durably};
use crate::image_dir::{Generation, ImageDir, ImageDirError, io_at};

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
}

/// The claim file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    attempts: Vec<Attempt>,
}

/// Why a generation cannot be claimed. Completes «generation N is skipped: …».
#[derive(Debug, Error)]
pub enum ClaimError {
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
    /// The volume cannot be read or written.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

/// A claim that this pod holds.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    account: Account,
}

impl Claim {
    /// Claims `generation` for the pod `host` on `node`. The attempt is on the volume before this returns, so that one
    /// that ends the pod counts too.
    ///
    /// # Errors
    /// It was tried `max` times, or the volume fails.
    pub fn take(
        dir: &ImageDir,
        generation: Generation,
        host: &str,
        node: Option<&str>,
        max: u32,
    ) -> Result<Self, ClaimError> {
        let path = dir.claim(generation);
        let mut account = read(&path)?;
        if account.attempts.len() >= max as usize {
            return Err(exhausted(&account));
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        account.attempts.push(Attempt {
            host: host.to_owned(),
            node: node.map(str::to_owned),
            at,
            outcome: None,
        });
        write_durably(&path, &to_json(&account))?;
        Ok(Self { path, account })
    }

    /// Writes down what came of the attempt.
    ///
    /// # Errors
    /// The volume fails.
    pub fn record(mut self, outcome: &str) -> Result<(), ClaimError> {
        if let Some(attempt) = self.account.attempts.last_mut() {
            attempt.outcome = Some(outcome.to_owned());
        }
        Ok(write_durably(&self.path, &to_json(&self.account))?)
    }
}

/// A file that cannot be understood is taken for an empty one: it only counts attempts, and the next write mends it.
fn read(path: &std::path::Path) -> Result<Account, ClaimError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Account::default()),
        Err(error) => Err(io_at("read", path)(error).into()),
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!("{} is damaged and starts anew: {error}", path.display());
            Account::default()
        })),
    }
}

fn exhausted(account: &Account) -> ClaimError {
    let last = account.attempts.last();
    ClaimError::Exhausted {
        attempts: account.attempts.len(),
        host: last.map_or_else(|| "nobody".to_owned(), |attempt| attempt.host.clone()),
        outcome: last
            .and_then(|attempt| attempt.outcome.clone())
            .unwrap_or_else(|| "outcome unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, ImageDir) {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        (volume, dir)
    }

    #[test]
    fn an_attempt_counts_even_if_nobody_lived_to_tell() {
        let (_volume, dir) = dir();
        let take = || Claim::take(&dir, Generation(1), "job-0", Some("node-a"), 2);
        drop(take().unwrap());
        take().unwrap().record("criu failed: no luck").unwrap();
        let error = take().unwrap_err().to_string();
        assert_eq!(
            error,
            "it was resumed 2 times (maxRestores), the last time by job-0: criu failed: no luck"
        );
        assert!(Claim::take(&dir, Generation(2), "job-0", None, 2).is_ok());
    }

    #[test]
    fn a_damaged_claim_is_no_obstacle() {
        let (_volume, dir) = dir();
        fs::write(dir.claim(Generation(1)), "{").unwrap();
        assert!(Claim::take(&dir, Generation(1), "job-0", None, 1).is_ok());
    }
}
