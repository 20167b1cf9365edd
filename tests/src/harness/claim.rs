//! Numbers that only one program of tests on this machine has at a time: ports, subnets. They are held by locks, so that suites side by
//! side agree, and one that was killed holds none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A number that nobody else in the harness gets as long as this lives.
pub(crate) struct Claim {
    number: u16,
    _lock: File,
}

impl Claim {
    /// The first of these numbers that nobody has and that is `free` besides.
    ///
    /// # Errors
    /// There is none, or locks cannot be held.
    pub(crate) fn first(
        kind: &str,
        mut numbers: impl Iterator<Item = u16>,
        free: impl Fn(u16) -> bool,
    ) -> Result<Self> {
        let directory = PathBuf::from(format!("/run/crik-tests-{kind}"));
        fs::create_dir_all(&directory)?;
        let claim = numbers.find_map(|number| Self::of(&directory, number).filter(|_| free(number)));
        claim.with_context(|| format!("none of the {kind} of the harness is free"))
    }

    fn of(directory: &Path, number: u16) -> Option<Self> {
        let lock = File::create(directory.join(number.to_string())).ok()?;
        lock.try_lock().ok()?;
        Some(Self { number, _lock: lock })
    }

    /// The number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_had_once_and_free_again_at_the_end() {
        let first = || Claim::first("numbers-of-a-test", [3, 5, 7].into_iter(), |number| number != 3);
        let held = [first().unwrap(), first().unwrap()];
        assert_eq!(held.each_ref().map(Claim::number), [5, 7]);
        assert!(first().is_err());
        drop(held);
        assert_eq!(first().unwrap().number(), 5);
    }
}
