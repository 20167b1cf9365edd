//! What is to be told of the clocks of a tree that is frozen.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use crik_store::generation::clock_facts::{ClockFacts, Clocks, Installed, Other, OtherKind};

use super::coverage::{self, Coverage, is_from_go};
use super::loading::is_loading;
use super::machine;
use super::vdso_stub;
use crate::tree::process::snapshot::{self, Tree};
use crate::tree::process::time_namespace::Offsets;

/// Those of the tree with this root, which was started with this library. For how long it has run is not known here.
///
/// # Errors
/// The kernel has no such clocks.
pub fn of(tree: &Tree, root: i32, library: Option<&Installed>) -> io::Result<ClockFacts> {
    let told = machine::now()?.plus(between(Offsets::own(), Offsets::of(root)));
    Ok(ClockFacts { told, library: library.cloned(), others: others(tree, root, library), ran_ms: 0 })
}

/// How far what the kernel tells in one namespace is behind what it tells in another.
pub(super) fn between(here: Offsets, there: Offsets) -> Clocks {
    let monotonic = there.monotonic.wrapping_sub(here.monotonic);
    Clocks {
        monotonic,
        monotonic_raw: monotonic,
        boottime: there.boottime.wrapping_sub(here.boottime),
        ticks: 0,
    }
}

/// The members for which the library is not enough. Not the root, which is crik's and waits for no time.
pub fn others(tree: &Tree, root: i32, library: Option<&Installed>) -> BTreeMap<i32, Other> {
    let members = tree.0.iter().filter(|process| process.pid != root && process.state != 'Z');
    members.filter_map(|process| Some((process.pid, other(process.pid, library)?))).collect()
}

fn other(pid: i32, library: Option<&Installed>) -> Option<Other> {
    let kind = kind(pid, library)?;
    let name = snapshot::name(pid);
    let ahead = vdso_stub::read(pid).ok().flatten().unwrap_or_default();
    Some(Other { name, kind, ahead })
}

fn kind(pid: i32, library: Option<&Installed>) -> Option<OtherKind> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    // One that is about to be a zombie has none.
    let maps = fs::read_to_string(process.join("maps")).ok().filter(|maps| !maps.is_empty())?;
    let none = Installed { library: PathBuf::new(), page: PathBuf::new() };
    let library = library.unwrap_or(&none);
    match coverage::of(&maps, library) {
        _ if is_from_go(&process.join("exe")).unwrap_or(false) => Some(OtherKind::Go),
        Coverage::Library => None,
        Coverage::Bare if is_loading(&process, &maps, library) => None,
        Coverage::Bare => Some(OtherKind::Bare),
        Coverage::Static => Some(OtherKind::Static),
    }
}
