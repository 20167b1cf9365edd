//! Says how the clocks of a program will go on elsewhere, and which of its processes may stand still there.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use crik_store::generation::clock_facts::{ClockFacts, Installed};

use super::finding::{Effect, Finding};
use super::own_users;
use crate::base::edit::{Edit, Place};
use crate::base::limits;
use crate::carry::clocks::facts;
use crate::carry::clocks::go_on::helpless;
use crate::tree::process::snapshot::Snapshot;
use crate::tree::process::time_namespace;

/// How the clocks of a tree will go on.
#[derive(Debug, PartialEq, Eq)]
pub enum GoOn {
    /// By a time namespace, whatever the processes are.
    Kernel,
    /// By crik's library, and what is written into the vDSO.
    Library,
    /// Not those of these processes, whose waits may last longer by as much as the next node is younger.
    Not(Vec<String>),
}

impl GoOn {
    /// By what.
    #[must_use]
    pub fn by(&self) -> Option<&'static str> {
        match self {
            Self::Kernel => Some("by the kernel"),
            Self::Library => Some("by crik's library"),
            Self::Not(_) => None,
        }
    }

    /// What is to be said of it, if anything is.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        match self {
            // What has ended meanwhile has no processes.
            Self::Not(helpless) if !helpless.is_empty() => Some(Finding::new(
                Effect::MayStandStill,
                format!(
                    "on a node that was booted later {} may stand still for the difference, unless they wait for a time from now on, \
                     which nobody can tell from outside; hostUsers: false with SYS_ADMIN and SYS_TIME helps, see onClockBack{}",
                    helpless.join(", "),
                    own_users::as_root()
                ),
            )
            .by(by_the_kernel())),
            _ => None,
        }
    }
}

/// Looks at the tree of `root`, whose program is `init`, until its program has begun. Blocks for a moment, and for longer if a process
/// has no library, since it may be about to load that.
#[must_use]
pub fn will_go_on(root: i32, init: &Path, library: Option<&Installed>) -> GoOn {
    if time_namespace::is_possible() {
        return GoOn::Kernel;
    }
    let patience = Instant::now() + limits::START_PATIENCE;
    loop {
        let tree = Snapshot::take().tree(root);
        let begun = tree.0.iter().any(|process| is_program(process.pid, init));
        let others = facts::others(&tree, root, library);
        let helpless = helpless(&ClockFacts { others, ..ClockFacts::default() });
        if begun && helpless.is_empty() {
            return GoOn::Library;
        }
        if Instant::now() > patience {
            return GoOn::Not(helpless);
        }
        thread::sleep(limits::START_PAUSE);
    }
}

/// What a pod has whose clocks go on by the kernel.
pub fn by_the_kernel() -> Vec<Edit> {
    let edits = [Edit::new(Place::Pod, "hostUsers: false"), Edit::capabilities(&["SYS_ADMIN", "SYS_TIME"])];
    edits.into_iter().chain(own_users::root_edit()).collect()
}

/// The init forks before it becomes the program.
fn is_program(pid: i32, init: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program != init)
}
