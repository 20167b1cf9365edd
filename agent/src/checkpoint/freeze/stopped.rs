//! A tree that stands still, until it is ended or goes on.

use std::collections::BTreeSet;
use std::mem::take;

use nix::sys::signal::Signal;

use crate::checkpoint::removed_paths::RemovedPaths;
use crate::tree::process::snapshot::{Snapshot, Tree};

/// The members of a stopped tree. Dropped without [`Stopped::kill`], they go on as before: a failed checkpoint costs
/// nothing.
#[derive(Debug)]
pub struct Stopped {
    pub(super) tree: Tree,
    /// Those that were stopped before the dump, and stay so.
    pub(super) before: BTreeSet<i32>,
    /// What they find again when they go on.
    pub(super) removed: RemovedPaths,
}

impl Stopped {
    /// Nobody yet, and none of those that were stopped before.
    pub(super) fn except(before: &BTreeSet<i32>) -> Self {
        Self { tree: Tree::default(), before: before.clone(), removed: RemovedPaths::default() }
    }

    /// Lets all go on that are in the tree by now.
    pub fn let_go(mut self, root: i32) {
        self.tree = Snapshot::take().tree(root);
    }

    /// Ends the tree: its image is durable, and from now on only the image may go on.
    pub fn kill(mut self) {
        take(&mut self.tree).signal(Signal::SIGKILL);
        take(&mut self.removed).forget();
    }
}

impl Drop for Stopped {
    /// Also those that do not look stopped: CRIU sends its SIGSTOP and leaves, and on a busy machine a process heeds it only
    /// after we have looked. It would be stopped for ever. A SIGCONT takes a SIGSTOP back that is still pending (signal(7)).
    fn drop(&mut self) {
        take(&mut self.tree).without(&self.before).signal(Signal::SIGCONT);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    use super::*;

    fn wait_for_state(root: i32, wanted: impl Fn(char) -> bool) {
        let until = Instant::now() + Duration::from_secs(10);
        while !Snapshot::take().tree(root).0.first().is_some_and(|process| wanted(process.state)) {
            assert!(Instant::now() < until, "the process is in another state for 10 s");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_stops_only_after_the_look_at_it_goes_on_too() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let root = child.id().cast_signed();
        let stopped = Stopped {
            tree: Snapshot::take().tree(root),
            before: BTreeSet::new(),
            removed: RemovedPaths::default(),
        };
        kill(Pid::from_raw(root), Signal::SIGSTOP).unwrap();
        wait_for_state(root, |state| state == 'T');
        drop(stopped);
        wait_for_state(root, |state| state != 'T');
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
