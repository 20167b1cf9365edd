//! What the manifest says of a tree's clocks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The clocks of a machine that count from its start, in nanoseconds; or how far those of one are ahead of another's, or a tree's of
/// its machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clocks {
    /// CLOCK_MONOTONIC.
    pub monotonic: i64,
    /// CLOCK_MONOTONIC_RAW, which NTP does not correct.
    pub monotonic_raw: i64,
    /// CLOCK_BOOTTIME, which goes on in suspend.
    pub boottime: i64,
    /// times(2), in ticks of `sysconf(_SC_CLK_TCK)`.
    pub ticks: i64,
}

impl Clocks {
    /// How far these are ahead of `other`.
    #[must_use]
    pub fn ahead_of(self, other: Self) -> Self {
        self.with(other, i64::wrapping_sub)
    }

    /// These, moved on by `other`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, i64::wrapping_add)
    }

    fn with(self, other: Self, of: fn(i64, i64) -> i64) -> Self {
        Self {
            monotonic: of(self.monotonic, other.monotonic),
            monotonic_raw: of(self.monotonic_raw, other.monotonic_raw),
            boottime: of(self.boottime, other.boottime),
            ticks: of(self.ticks, other.ticks),
        }
    }
}

/// Where a tree has the library that keeps its clocks going, and the page of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The library.
    pub library: PathBuf,
    /// The page, to which a link beside the library leads.
    pub page: PathBuf,
}

impl Installed {
    /// All that goes along with a checkpoint.
    #[must_use]
    pub fn paths(&self) -> [PathBuf; 3] {
        [self.library.clone(), self.link(), self.page.clone()]
    }

    /// The link to the page, as the library makes its name from its own path.
    #[must_use]
    pub fn link(&self) -> PathBuf {
        let mut link = self.library.clone().into_os_string();
        link.push(".page");
        link.into()
    }
}

/// The clocks of a tree at the moment in which it was frozen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockFacts {
    /// What the kernel told the tree: those of the machine, or of a time namespace.
    pub told: Clocks,
    /// The library that adds to it, if the tree was started with one.
    pub library: Option<Installed>,
    /// The processes for which that library is not enough, by their ids.
    pub others: BTreeMap<i32, Other>,
    /// For how long the program has run, over all its lives, in milliseconds.
    pub ran_ms: u64,
}

/// A process for which the library is not enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Other {
    /// Its program's name.
    pub name: String,
    /// Why.
    pub kind: OtherKind,
    /// How far its clocks are ahead of what the kernel tells it, by what was written into its vDSO.
    pub ahead: Clocks,
}

/// Why the library is not enough for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtherKind {
    /// Go's runtime reads the clock from the vDSO, and waits for a time from now on. Its reads can be set, and that is all it takes.
    Go,
    /// Linked statically by something else: its reads can be set, and what it waits for until a time of the clock cannot.
    Static,
    /// Dynamically linked, but started without the library. To set its reads alone would lengthen all that it waits for.
    Bare,
}
