//! How holds and generations are numbered, and called in an image directory.

use serde::{Deserialize, Serialize};

use crate::backend::Name;
use crate::base::limits;

/// The directory of what was cut from files of the application.
pub(super) const CUT: &str = "cut";

/// The directory of the packs to which generations refer.
pub(super) const PACKS: &str = "packs";

/// The number of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The one that follows. None if that is more than is ever reached ([`limits::NUMBER_MAX`]).
    pub fn next(self) -> Option<Self> {
        following(self.0).map(Self)
    }

    /// Its directory.
    pub(super) fn directory(self) -> Name {
        generations().join(&self.to_string())
    }

    /// The directory of what was cut from files of the application when it was resumed.
    pub(super) fn cut(self) -> Name {
        Name::from(CUT).join(&self.to_string())
    }

    /// The file with the account of the attempts to resume it.
    pub(super) fn attempts(self) -> Name {
        accounts().join(&format!("{self}.json"))
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// The directory of the generations.
pub(super) fn generations() -> Name {
    Name::from("generations")
}

/// The directory of the accounts of attempts.
pub(super) fn accounts() -> Name {
    Name::from("claims")
}

/// The directory of the holds.
pub(super) fn holders() -> Name {
    Name::from("holders")
}

/// The directory of the hold `number`.
pub(super) fn hold(number: u64) -> Name {
    holders().join(&format!("{number:08}"))
}

/// The number of the hold or the generation after this one.
pub(super) fn following(number: u64) -> Option<u64> {
    number.checked_add(1).filter(|number| *number <= limits::NUMBER_MAX)
}

/// Reads a numbered name; anything but eight or more digits is not one of ours, nor is a number that is never reached.
pub(super) fn parse_number(name: &str) -> Option<u64> {
    let number: u64 =
        (name.len() >= 8 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())??;
    (number <= limits::NUMBER_MAX).then_some(number)
}
