//! Has the clocks of a tree go on where they stood, in whatever way is possible here.

use std::io;
use std::time::Duration;

use crik_store::generation::clock_facts::{ClockFacts, Clocks, OtherKind};
use crik_store::generation::manifest::Manifest;

use super::facts::between;
use super::install::{self, RebaseError};
use super::layout::Number;
use super::machine;
use super::vdso_stub::{self, StubError};
use crate::tree::criu::TimeNamespace;
use crate::tree::process::time_namespace::{self, Offsets};

/// How the clocks of a tree go on here.
#[derive(Debug, Clone)]
pub struct GoingOn {
    /// The namespace in which it is restored.
    pub namespace: TimeNamespace,
    facts: ClockFacts,
    /// What the kernel will tell it.
    told: Clocks,
}

impl GoingOn {
    /// For the tree of this manifest: by the kernel if that is possible.
    ///
    /// # Errors
    /// The kernel has no such clocks.
    pub fn plan(manifest: &Manifest) -> io::Result<Self> {
        let machine = machine::now()?;
        let facts = facts(manifest, machine);
        if !time_namespace::is_possible() {
            return Ok(Self { namespace: TimeNamespace::Own, facts, told: machine });
        }
        let (own, shift) = (Offsets::own(), facts.told.ahead_of(machine));
        let offsets = Offsets {
            monotonic: own.monotonic.wrapping_add(shift.monotonic),
            boottime: own.boottime.wrapping_add(shift.boottime),
        };
        let told = machine.plus(between(own, offsets));
        Ok(Self { namespace: TimeNamespace::New(offsets), facts, told })
    }

    /// Sets the page of the library, which CRIU is about to map; and what files are numbered there, if they have other numbers here.
    ///
    /// # Errors
    /// [`RebaseError`].
    pub fn set_page(&self, numbers: Option<&[Number]>) -> Result<(), RebaseError> {
        let Some(library) = &self.facts.library else { return Ok(()) };
        install::rebase(library, self.facts.told, self.told, numbers)
    }

    /// Sets the clocks of the restored processes that read them without the library. None of them runs yet.
    pub fn set_others(&self) {
        let shift = self.facts.told.ahead_of(self.told);
        for (pid, other) in self.facts.others.iter().filter(|(_, other)| other.kind != OtherKind::Bare) {
            let ahead = other.ahead.plus(shift);
            if (Clocks { ticks: 0, ..ahead }) != Clocks::default() {
                tell(&other.name, vdso_stub::write(*pid, &ahead).map(drop));
            }
        }
    }
}

/// It goes on with the machine's clock, which most programs can bear.
fn tell(name: &str, outcome: Result<(), StubError>) {
    if let Err(error) = outcome {
        tracing::error!(step = "restore", "{name} may stand still: {error}");
    }
}

/// Processes that stand still after a restore, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    /// How far the clock goes back.
    pub back: Duration,
    /// Who they are; none if that is not known, as of generations of earlier releases.
    pub who: Vec<String>,
    /// For how long the program has run, which a fresh start would lose; not known of generations of earlier releases.
    pub ran: Option<Duration>,
}

/// The processes that may stand still if this manifest's tree is restored here; none if there are none.
///
/// # Errors
/// The kernel has no such clocks.
pub fn standstill(manifest: &Manifest) -> io::Result<Option<Standstill>> {
    let machine = machine::now()?;
    let back = facts(manifest, machine).told.ahead_of(machine).monotonic;
    let back = Duration::from_nanos(u64::try_from(back).unwrap_or(0));
    let helpless = manifest.clocks.as_ref().map(helpless);
    if back.is_zero() || helpless.as_ref().is_some_and(Vec::is_empty) || time_namespace::is_possible() {
        return Ok(None);
    }
    let ran = manifest.clocks.as_ref().map(|facts| Duration::from_millis(facts.ran_ms));
    Ok(Some(Standstill { back, who: helpless.unwrap_or_default(), ran }))
}

/// The processes that only the kernel can help, as a person is told of them.
#[must_use]
pub fn helpless(facts: &ClockFacts) -> Vec<String> {
    let why = |kind| match kind {
        OtherKind::Go => None,
        OtherKind::Static => Some("linked statically"),
        OtherKind::Bare => Some("started without crik's library"),
    };
    let helpless = facts.others.iter().filter_map(|(pid, other)| Some((pid, &other.name, why(other.kind)?)));
    helpless.map(|(pid, name, why)| format!("{name} ({pid}, {why})")).collect()
}

/// What a manifest tells; an earlier release's no more than one clock in seconds.
fn facts(manifest: &Manifest, machine: Clocks) -> ClockFacts {
    manifest.clocks.clone().unwrap_or_else(|| {
        let then = Duration::from_secs(manifest.monotonic_seconds).as_nanos();
        let shift = i64::try_from(then).unwrap_or(i64::MAX).saturating_sub(machine.monotonic);
        let shift = Clocks { monotonic: shift, monotonic_raw: shift, boottime: shift, ticks: 0 };
        ClockFacts { told: machine.plus(shift), ..ClockFacts::default() }
    })
}
