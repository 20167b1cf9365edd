//! Says how the clocks of a program will go on elsewhere, and which of its processes may stand still there.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use crate::base::limits;
use crate::carry::clocks::facts;
use crate::carry::clocks::go_on::helpless;
use crate::store::generation::clock_facts::{ClockFacts, Installed};
use crate::tree::process::snapshot::{Snapshot, Tree};
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

/// Looks at the tree of `root`, whose program is `init`, once its program runs. Blocks for a moment.
#[must_use]
pub fn verdict(root: i32, init: &Path, library: Option<&Installed>) -> Verdict {
    if time_namespace::is_possible() {
        return Verdict::Kernel;
    }
    let others = facts::others(&once_it_runs(root, init), root, library);
    match helpless(&ClockFacts { others, ..ClockFacts::default() }) {
        helpless if helpless.is_empty() => Verdict::Library,
        helpless => Verdict::Not(helpless),
    }
}

/// The init forks before it becomes the program.
fn once_it_runs(root: i32, init: &Path) -> Tree {
    let patience = Instant::now() + limits::START_PATIENCE;
    loop {
        let tree = Snapshot::take().tree(root);
        let is_program =
            |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program != init);
        if tree.0.iter().any(|process| is_program(process.pid)) || Instant::now() > patience {
            return tree;
        }
        thread::sleep(limits::CANCEL_PAUSE);
    }
}
