//! What of a tree nobody can freeze, as /proc shows it (proc(5)).

use std::fs;

use thiserror::Error;

use super::capabilities::field;
use super::snapshot::{Tree, open_files, told};

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
    },
    /// The kernel works at what the ring says, and tells nobody how far it is.
    #[error(
        "process {process} has a ring of io_uring, which CRIU cannot dump; have the program do without, or \
         turn it off on the node (sysctl kernel.io_uring_disabled=2); by clockLibrary crik does so for programs that ask the C library \
         or liburing for it"
    )]
    Ring {
        /// The process.
        process: String,
    },
}

/// How an open ring is called, and one of which only the mapping is left.
const RING: &str = "anon_inode:[io_uring]";

/// The same without its kind.
pub const URING: &str = "[io_uring]";

/// Everything that cannot be frozen of `tree`. What this process itself traces does not count.
pub fn of(tree: &Tree) -> Vec<Unfreezable> {
    tree.0.iter().flat_map(|process| traced(process.pid).into_iter().chain(ring(process.pid))).collect()
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
    Some(Unfreezable::Traced { process: told(pid), tracer: told(tracer) })
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
    fn an_ordinary_tree_can_be_frozen() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = of(&Snapshot::take().tree(child.id().cast_signed()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, []);
    }
}
