//! What came of a program is kept between runs under a name made from all that decides it, so that a run that was interrupted goes on where it was, and
//! what CRIU does alone is not tried again because crik was changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::checkpoint::Figures;
use super::cycles::{Outcome, goes_on};
use super::event::{Event, Failure};
use super::plain::{Recipe, goes_on_by_criu};
use super::workload::Workload;
use crate::build::{cargo_bin, workspace};
use crate::harness::cache::{self, CACHE};
use crate::rootfs::Root;
use crate::spec::bounding_set;

/// What came of an attempt, and whether that was in this run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept<T> {
    /// What came of it.
    pub came: Result<T, Failure>,
    /// It was made by an earlier run.
    #[serde(skip)]
    pub earlier: bool,
}

/// The file of an attempt's place that has it.
const CAME: &str = "came.json";

/// What runs a program and looks at it, besides the workload's file.
const HARNESS: [&str; 5] = [
    include_str!("cycles.rs"),
    include_str!("plain.rs"),
    include_str!("scripts.rs"),
    include_str!("material.rs"),
    include_str!("../pod/node.rs"),
];

impl Kept<Outcome> {
    /// Under this crik.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn by_crik(workload: &Workload, moves: u32, afresh: bool) -> Result<Self> {
        let crik = fs::read(cargo_bin("crik-agent", "crik", &[])?)?;
        let place = place(workload, &format!("crik-{moves}"), &crik)?;
        // What fails is to be seen with all that is told of it.
        or_tried(&place, afresh, |_| false, || goes_on(workload, moves))
    }
}

impl Kept<Figures> {
    /// By CRIU alone. What was not even started is tried again by the next run.
    ///
    /// # Errors
    /// The root file system cannot be built, or the disk is full.
    pub fn by_criu(workload: &Workload, recipe: Recipe, afresh: bool) -> Result<Self> {
        let script = fs::read(workspace().join("tests/programs/plain.sh"))?;
        let place = place(workload, &format!("{recipe:?}"), &script)?;
        let is_kept = |failure: &Failure| failure.event != Event::Started;
        or_tried(&place, afresh, is_kept, || goes_on_by_criu(workload, recipe))
    }
}

/// From an earlier run, unless all is to be tried `afresh`; a failure is kept if `is_kept` says so.
fn or_tried<T: Serialize + DeserializeOwned>(
    place: &Path,
    afresh: bool,
    is_kept: impl FnOnce(&Failure) -> bool,
    attempt: impl FnOnce() -> Result<T>,
) -> Result<Kept<T>> {
    let before = fs::read(place.join(CAME)).ok().filter(|_| !afresh);
    if let Some(kept) = before.and_then(|text| serde_json::from_slice::<Kept<T>>(&text).ok()) {
        cache::used(place)?;
        return Ok(Kept { earlier: true, ..kept });
    }
    let came = attempt().map_err(|error| {
        eprintln!("{}: {error:?}", place.display());
        Failure::of(&error)
    });
    let tried = Kept { came, earlier: false };
    if tried.came.as_ref().err().is_none_or(is_kept) {
        fs::create_dir_all(place)?;
        fs::write(place.join(CAME), serde_json::to_vec(&tried)?)?;
        cache::used(place)?;
    }
    Ok(tried)
}

/// Named by the program, its root file system, CRIU, the kernel, the harness, and what it is tried `with`.
fn place(workload: &Workload, by: &str, with: &[u8]) -> Result<PathBuf> {
    let root = Root::named(&workload.root);
    let criu = root.path()?.join("usr/sbin/criu");
    let criu = fs::read(&criu).with_context(|| format!("{}", criu.display()))?;
    let (program, kernel) = (fs::read(workload.path())?, fs::read("/proc/version")?);
    let mut name = blake3::Hasher::new();
    for part in [root.made_from()?.as_bytes(), &criu, &program, &kernel, &bounding_set()?.to_le_bytes(), with]
    {
        name.update(part);
    }
    for source in HARNESS {
        name.update(source.as_bytes());
    }
    Ok(Path::new(CACHE).join(format!("corpus-{}-{by}-{}", workload.name, &name.finalize().to_hex()[..16])))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn came(place: &Path, afresh: bool, attempt: Result<u32>) -> (Option<u32>, bool) {
        let kept = or_tried(place, afresh, |failure| failure.event == Event::Resumed, || attempt).unwrap();
        (kept.came.ok(), kept.earlier)
    }

    #[test]
    fn an_attempt_is_made_once_unless_it_is_to_be_made_afresh() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(came(place.path(), false, Ok(1)), (Some(1), false));
        assert_eq!(came(place.path(), false, Ok(2)), (Some(1), true));
        assert_eq!(came(place.path(), true, Ok(3)), (Some(3), false));
    }

    #[test]
    fn of_failures_those_are_kept_that_tell_something() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(came(place.path(), false, Err(anyhow!("no disk"))), (None, false));
        let failed = Err(anyhow!("no mount").context(Event::Resumed));
        assert_eq!(came(place.path(), false, failed), (None, false));
        assert_eq!(came(place.path(), false, Ok(1)), (None, true));
    }
}
