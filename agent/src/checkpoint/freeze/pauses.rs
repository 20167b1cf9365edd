//! What is done at each pause that CRIU makes in a dump: what it must not see is taken from it, and what it does not write is learned.

use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crik_store::generation::parts::NewParts;

use super::error::FreezeError;
use super::request::FreezeRequest;
use super::stage::{Staged, stage};
use crate::base::fault_points::{Point, reach};
use crate::base::panics::locked;
use crate::carry::datagram_peers::Detached;
use crate::carry::files::BesideDump;
use crate::carry::loopback as carried_connections;
use crate::carry::open_files::LostNames;
use crate::carry::watched::{Watched, WatchedError};
use crate::config::UnixConnections;
use crate::tree::criu::{self, Connections, Hook, Leave, Pause};
use crate::tree::process::loopback::{BeforeRepair, Quiet};
use crate::tree::process::outside::{self, Outside};
use crate::tree::process::snapshot::{Snapshot, Tree};

/// What is learned while the tree is frozen.
#[derive(Default)]
pub(super) struct Frozen {
    pub since: Option<Instant>,
    files: Option<BesideDump>,
    /// The names of open files that have lost theirs.
    names: LostNames,
    /// Connections that CRIU must not see.
    pub detached: Detached,
    /// Connections over which nothing goes meanwhile.
    pub quiet: Quiet,
    /// What CRIU does not give back to a connection that it has looked at.
    pub before_repair: Option<BeforeRepair>,
    pub staged: Option<Result<Staged, FreezeError>>,
}

impl Frozen {
    /// CRIU is about to stop the tree.
    fn begin(&mut self, request: &FreezeRequest, parts: &NewParts) {
        self.since = Some(Instant::now());
        self.names = LostNames::give(&Snapshot::take().tree(request.root));
        let (carrying, leave) = (Arc::clone(&request.carrying), self.names.paths());
        self.files = Some(BesideDump::begin(carrying, parts.clone(), leave));
    }

    /// The tree stands still, and CRIU has not looked at it.
    fn hide(&mut self, request: &FreezeRequest, connections: Connections) {
        let tree = Snapshot::take().tree(request.root);
        self.detached = Detached::of(&tree);
        if connections == Connections::Keep {
            self.quiet = Quiet::of(&tree);
            self.before_repair = Some(BeforeRepair::of(&tree));
        }
        if request.unix_connections == UnixConnections::Close {
            cut_off(&tree, request.leave);
        }
    }

    /// CRIU has written all that it writes. Connected again is what was not to be seen, before anything of the tree runs, whatever comes of it.
    fn finish(&mut self, request: &FreezeRequest, connections: Connections, places: (&NewParts, &Path)) {
        let datagram_peers = take(&mut self.detached).facts();
        let (names, files) = (take(&mut self.names), self.files.take());
        let whole = match connections {
            Connections::Keep => carried_connections::settle(places.1, &self.quiet.inodes()),
            Connections::Close => Ok(()),
        };
        let stage = |()| stage(request, places, &names, files);
        let staged = whole.map_err(FreezeError::from).and_then(stage);
        self.quiet = Quiet::default();
        self.staged = Some(staged.map(|staged| Staged { datagram_peers, ..staged }));
    }

    /// What a CRIU that has failed in between has left undone, before anything that is still stopped goes on.
    pub fn give_back(&mut self, root: i32) {
        drop(take(&mut self.detached));
        drop(take(&mut self.quiet));
        if let Some(before) = self.before_repair.take() {
            before.end(&Snapshot::take().tree(root));
        }
    }
}

/// What CRIU is to call.
pub(super) fn hook(
    request: &FreezeRequest,
    connections: Connections,
    (parts, images, watched): (NewParts, PathBuf, Watched),
    frozen: &Arc<Mutex<Frozen>>,
) -> Hook {
    let (request, frozen) = (request.clone(), Arc::clone(frozen));
    Box::new(move |pause| {
        let mut frozen = locked(&frozen);
        match pause {
            Pause::BeforeFreeze => {
                reach(Point::BeforeFreeze);
                watch_again(&watched, &request, &images);
                frozen.begin(&request, &parts);
            }
            Pause::Frozen => frozen.hide(&request, connections),
            Pause::Dumped => {
                reach(Point::Dumped);
                frozen.finish(&request, connections, (&parts, &images));
            }
            Pause::BeforeFork | Pause::BeforeResume | Pause::Resumed => {}
        }
        Ok(())
    })
}

/// What is resumed finds connections closed that lead out of the tree. Those of a tree that goes on stay as they are.
fn cut_off(tree: &Tree, leave: Leave) {
    let cut = outside::of(tree).and_then(|found| {
        criu::cut_off(found.iter().map(Outside::inode))?;
        Ok(found)
    });
    match cut {
        Ok(found) => found.iter().for_each(|one| match leave {
            Leave::Stopped => tracing::info!(step = "freeze", "closed for the next pod: {}", one.told()),
            Leave::Running => tracing::debug!(step = "freeze", "closed in the image: {}", one.told()),
        }),
        // If there are any, CRIU says so.
        Err(error) => tracing::debug!(step = "freeze", "connections to outside are not known: {error}"),
    }
}

/// What the tree watches now.
pub(super) fn watched(request: &FreezeRequest) -> Result<Watched, WatchedError> {
    let tree = Snapshot::take().tree(request.root);
    Watched::find(&tree, &|path| request.carrying.takes(path), &request.headway)
}

/// The program may have begun to watch more until CRIU was there. If that cannot be told, CRIU says so.
fn watch_again(before: &Watched, request: &FreezeRequest, images: &Path) {
    if before.is_all_of(&Snapshot::take().tree(request.root)) {
        return;
    }
    if let Err(error) = watched(request).and_then(|watched| watched.tell(images)) {
        tracing::warn!(step = "freeze", "{error}");
    }
}
