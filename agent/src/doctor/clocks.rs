//! Says how the clocks of a program will go on elsewhere, and which of its processes may stand still there.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use crate::base::limits;
use crate::carry::clocks::facts;
use crate::carry::clocks::go_on::helpless;
use crate::store::generation::clock_facts::{ClockFacts, Installed};
use crate::tree::process::snapshot::Snapshot;
use crate::tree::process::time_namespace;

/// How the clocks of a tree will go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By a time namespace, whatever the processes are.
    Kernel,
    /// By crik's library, and what is written into the vDSO.
    Library,
    /// Not those of these processes, whose waits may last longer by as much as the next node is younger.
    Not(Vec<String>),
}

/// Looks at the tree of `root`, whose program is `init`, until its program has begun. Blocks for a moment, and for longer if a process
/// has no library, since it may be about to load that.
#[must_use]
pub fn verdict(root: i32, init: &Path, library: Option<&Installed>) -> Verdict {
    if time_namespace::is_possible() {
        return Verdict::Kernel;
    }
    let patience = Instant::now() + limits::START_PATIENCE;
    loop {
        let tree = Snapshot::take().tree(root);
        let begun = tree.0.iter().any(|process| is_program(process.pid, init));
        let others = facts::others(&tree, root, library);
        let helpless = helpless(&ClockFacts { others, ..ClockFacts::default() });
        if begun && helpless.is_empty() {
            return Verdict::Library;
        }
        if Instant::now() > patience {
            return Verdict::Not(helpless);
        }
        thread::sleep(limits::START_PAUSE);
    }
}

/// The init forks before it becomes the program.
fn is_program(pid: i32, init: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program != init)
}
