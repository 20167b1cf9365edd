//! What of a tree nobody can freeze, as /proc shows it (proc(5)).

use std::fs;

use nix::unistd::geteuid;
use thiserror::Error;

use super::beyond_criu;
use super::capabilities::{field, mask, status};
use super::filters;
use super::remedies;
use super::snapshot::{Tree, open_files, told};
use super::system_v::{self, Held};
use crate::base::edit::{Edit, Place};

/// Why a process cannot be frozen.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unfreezable {
    /// A process has one tracer, and CRIU has to be that.
    #[error(
        "process {process} is traced by process {tracer}, and CRIU has to trace it itself; end the tracer (a debugger, strace, a \
         profiler)"
    )]
    Traced {
        /// The process.
        process: String,
        /// Who traces it.
        tracer: String,
        /// Its id.
        by: i32,
    },
    /// CRIU has to set it aside and to read it.
    #[error(
        "process {process} has a seccomp filter of its own, as a sandbox sets one, which CRIU can dump only with the capability SYS_ADMIN on \
         the node, and not with hostUsers: false; start the program without its sandbox (chromium: --no-sandbox; others have a switch \
         like it)"
    )]
    Filtered {
        /// The process.
        process: String,
    },
    /// Nobody but root can make a process of another user, or give it rights that it does not have itself.
    #[error(
        "process {process} {what}, which crik cannot give back to it, since the container does not run as root; have the program do \
         without, or run the container as root"
    )]
    BeyondUs {
        /// The process.
        process: String,
        /// What it has.
        what: &'static str,
    },
    /// CRIU does not know it, or not well.
    #[error("process {process} has {what}; {remedy}")]
    BeyondCriu {
        /// The process.
        process: String,
        /// What it has, and what CRIU does with it.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It belongs to no process, and the next container has none of it.
    #[error(
        "{who} has {what}, which belongs to the pod and not to the program, so CRIU does not dump it; {}",
        remedies::system_v!()
    )]
    SystemV {
        /// Who has it.
        who: String,
        /// What, with its key and id.
        what: String,
    },
    /// The kernel works at what the ring says, and tells nobody how far it is.
    #[error("process {process} has a ring of io_uring, which CRIU cannot dump; {}", remedies::ring!())]
    Ring {
        /// The process.
        process: String,
    },
}

impl Unfreezable {
    /// What to write for it, where something is to be written.
    #[must_use]
    pub fn edit(&self) -> Option<Edit> {
        match self {
            Self::Traced { by, .. } => Some(Edit::new(Place::Shell, format!("kill {by}"))),
            Self::BeyondUs { .. } => Some(Edit::root()),
            Self::Ring { .. } => Some(remedies::no_rings()),
            Self::Filtered { .. } | Self::BeyondCriu { .. } | Self::SystemV { .. } => None,
        }
    }
}

/// How an open ring is called, and one of which only the mapping is left.
const RING: &str = "anon_inode:[io_uring]";

/// The same without its kind.
pub const URING: &str = "[io_uring]";

/// Everything that cannot be frozen of `tree`. What this process itself traces does not count.
pub fn of(tree: &Tree) -> Vec<Unfreezable> {
    let Some(root) = tree.root() else { return Vec::new() };
    let each = |pid| {
        traced(pid)
            .into_iter()
            .chain(filtered(pid))
            .chain(ring(pid))
            .chain(beyond_us(pid))
            .chain(beyond_criu(pid, root))
    };
    tree.0.iter().flat_map(|process| each(process.pid)).chain(system_v(tree)).collect()
}

fn system_v(tree: &Tree) -> impl Iterator<Item = Unfreezable> {
    system_v::of(tree).into_iter().map(|Held { who, what }| Unfreezable::SystemV { who, what })
}

fn filtered(pid: i32) -> Option<Unfreezable> {
    filters::are_in_the_way(pid).then(|| Unfreezable::Filtered { process: told(pid) })
}

fn beyond_criu(pid: i32, root: i32) -> impl Iterator<Item = Unfreezable> {
    let each = move |(what, remedy)| Unfreezable::BeyondCriu { process: told(pid), what, remedy };
    beyond_criu::of(pid, root).into_iter().map(each)
}

/// A program that was started with a set-user-ID bit or capabilities of its file has more than the one that started it.
fn beyond_us(pid: i32) -> Option<Unfreezable> {
    if geteuid().is_root() {
        return None;
    }
    let theirs = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let what = more_than(&status(), &theirs)?;
    Some(Unfreezable::BeyondUs { process: told(pid), what })
}

/// What the process of one status has and that of the other has not.
fn more_than(ours: &str, theirs: &str) -> Option<&'static str> {
    let differs = |name| field(ours, name) != field(theirs, name);
    if differs("Uid") {
        Some("is of another user")
    } else if differs("Gid") || differs("Groups") {
        Some("is in other groups")
    } else {
        (mask(theirs, "CapPrm") & !mask(ours, "CapPrm") != 0).then_some("has capabilities of its own")
    }
}

/// Each thread may have a tracer of its own.
fn traced(pid: i32) -> Option<Unfreezable> {
    let own = std::process::id().cast_signed();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let tracers = threads.filter_map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        field(&status, "TracerPid")?.parse::<i32>().ok()
    });
    let tracer = tracers.into_iter().find(|tracer| *tracer != 0 && *tracer != own)?;
    Some(Unfreezable::Traced { process: told(pid), tracer: told(tracer), by: tracer })
}

fn ring(pid: i32) -> Option<Unfreezable> {
    let is_open = open_files(pid).iter().any(|what| what.as_os_str() == RING);
    let is_mapped = || fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains(RING));
    (is_open || is_mapped()).then(|| Unfreezable::Ring { process: told(pid) })
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Snapshot;
    use super::*;

    #[test]
    fn what_a_process_has_beyond_ours_is_named() {
        let status = |uid, groups, permitted| {
            format!(
                "Uid:\t1000\t{uid}\t1000\t1000\nGid:\t0\t0\t0\t0\nGroups:\t{groups} \nCapPrm:\t{permitted}\n"
            )
        };
        let ours = status(1000, 1000, "0000010000080100");
        assert_eq!(more_than(&ours, &status(1000, 1000, "0000000000000000")), None);
        assert_eq!(more_than(&ours, &status(0, 1000, "000001ffffffffff")), Some("is of another user"));
        assert_eq!(more_than(&ours, &status(1000, 5, "0000000000000000")), Some("is in other groups"));
        assert_eq!(
            more_than(&ours, &status(1000, 1000, "0000000000002000")),
            Some("has capabilities of its own")
        );
    }

    #[test]
    fn an_ordinary_tree_can_be_frozen() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = of(&Snapshot::take().tree(child.id().cast_signed()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, []);
    }
}
