//! What a tree has that is not in CRIU's images, and is given to it while all of it is restored and nothing of it runs yet.

use std::io;

use crik_store::generation::tree_facts::TreeFacts;

use crate::carry::clocks::go_on::GoingOn;
use crate::carry::{file_locks, orphans};
use crate::restore::own_ipc;
use crate::tree::criu::Connections;
use crate::tree::criu::images::FileLocks;
use crate::tree::process::loopback;
use crate::tree::process::snapshot::Snapshot;

/// It, of one tree.
pub(super) struct LeftOut {
    root: i32,
    orphans: bool,
    clocks: GoingOn,
    locks: FileLocks,
    /// The segments of System V that were removed and are attached.
    removed: Vec<i32>,
    connections: Connections,
}

impl LeftOut {
    /// That of a tree whose clocks and connections go on so.
    pub(super) fn new(
        tree: &TreeFacts,
        clocks: GoingOn,
        (locks, removed): (FileLocks, Vec<i32>),
        connections: Connections,
    ) -> Self {
        Self { root: tree.root, orphans: tree.orphans, clocks, locks, removed, connections }
    }

    /// What has to wait for its root, before that is made.
    ///
    /// # Errors
    /// Nobody can wait for it.
    pub(super) fn before_fork(&self) -> io::Result<()> {
        if self.orphans { orphans::watch_for_root(self.root) } else { Ok(()) }
    }

    /// Gives it to the tree.
    ///
    /// # Errors
    /// A lock is somebody else's, a segment is not there, or the processes cannot be read.
    pub(super) fn give(&self) -> io::Result<()> {
        self.clocks.set_others();
        file_locks::set(&self.locks)?;
        own_ipc::remove_again(&self.removed, self.root)?;
        match self.connections {
            Connections::Keep => loopback::let_hear(&Snapshot::take().tree(self.root)),
            Connections::Close => Ok(()),
        }
    }
}
