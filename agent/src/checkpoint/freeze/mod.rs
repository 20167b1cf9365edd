//! Freezes the tree: CRIU writes its image into the staging directory, and leaves every process stopped or lets it go on.

mod error;
mod pauses;
mod request;
mod stage;
mod stopped;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::mem::take;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crik_store::backend::durable::create_private;
use crik_store::generation::manifest;
use crik_store::generation::parts::NewParts;
use crik_store::generation::streams::StreamsWriter;
use crik_store::image_dir::staging::Staging;
use crik_store::image_dir::{io_at, layout};

pub use self::error::FreezeError;
use self::pauses::{Frozen, hook, watched};
pub use self::request::{FreezeRequest, Streaming};
pub use self::stage::Staged;
pub use self::stopped::Stopped;
use crate::base::fault_points::{Point, reach};
use crate::base::limits;
use crate::base::panics::locked;
use crate::base::private_directory::PrivateDirectory;
use crate::base::units::whole_ms;
use crate::carry::{terminal, watched as carried_watches};
use crate::checkpoint::removed_paths::RemovedPaths;
use crate::checkpoint::stream_dump::StreamDump;
use crate::config::{LoopbackConnections, UnixConnections};
use crate::tree::criu::{self, Connections, Dump, Leave, PagesSink};
use crate::tree::process::lacking_rights::enough;
use crate::tree::process::snapshot::{Snapshot, Tree};
use crate::tree::process::{loopback, outside, sessions, unfreezable};

/// Dumps the tree into the staging directory. Blocks; [`crate::tree::criu::give_up`] ends it early.
///
/// # Errors
/// The tree cannot be dumped whole. It then runs on, once nobody has it as one that stands still.
pub fn freeze(staging: &Staging, request: &FreezeRequest) -> Result<(Stopped, Staged), FreezeError> {
    let tree = freezable(request)?;
    let before = tree.stopped();
    *locked(&request.standing) = Some(Stopped::except(&before));
    let path = staging.make()?;
    let kept = make_directory(&path.join(layout::IMAGES))?;
    let streams = streams(staging, request)?;
    // What is not kept as it is need not be written to the volume before.
    let scratch = streams.as_ref().map(|_| PrivateDirectory::make()).transpose()?;
    let images = scratch.as_ref().map_or(kept.as_path(), PrivateDirectory::path);
    let parts = NewParts::new(path, streams.clone());
    let came = request.streaming.as_ref().map(|streaming| Arc::clone(&streaming.came));
    let dump = streams.clone().zip(came).map(|(streams, came)| Arc::new(StreamDump::new(streams, came)));
    if request.headway.is_given_up() {
        return Err(FreezeError::TooLate);
    }
    let removed = match request.leave {
        Leave::Stopped => RemovedPaths::remove(&request.inotify_incompatible_paths)?,
        Leave::Running => RemovedPaths::default(),
    };
    let watched = watched(request)?;
    watched.tell(images)?;

    let (began, frozen) = (Instant::now(), Arc::new(Mutex::new(Frozen::default())));
    let (terminal, connections) = (terminal::of(&tree), connections(request, &tree));
    let what = Dump {
        root: request.root,
        images,
        leave: request.leave,
        external: &terminal.names,
        connections,
        pages: dump.clone().map(|dump| dump as Arc<dyn PagesSink>),
        headway: &request.headway,
    };
    let outcome = criu::dump(&what, hook(request, connections, (parts, images.to_owned(), watched), &frozen));
    locked(&frozen).give_back(request.root);
    // Only now, since the tree changed until it stopped; and also after a failure, since a CRIU that was killed may have
    // stopped some of it.
    let stopped = match (request.leave, &outcome) {
        (Leave::Running, Ok(_)) => Stopped { tree: Tree::default(), before, removed },
        _ => Stopped { tree: Snapshot::take().tree(request.root), before, removed },
    };
    *locked(&request.standing) = Some(stopped);
    let over = outcome?;
    if request.headway.is_given_up() {
        return Err(FreezeError::TooLate);
    }
    reach(Point::Frozen);
    carried_watches::forget_paths(images).map_err(io_at("clean up", images))?;
    keep_log(&kept)?;
    let frozen = take(&mut *locked(&frozen));
    let durations_ms = durations(request.leave, (began, over), frozen.since);
    let staged = frozen.staged.unwrap_or(Err(FreezeError::NoPause))?;
    dump.map_or(Ok(()), |dump| dump.take_files(images)).map_err(io_at("store", images))?;
    let stopped = locked(&request.standing).take().filter(|_| !request.headway.is_given_up());
    Ok((stopped.ok_or(FreezeError::TooLate)?, Staged { terminal, durations_ms, streams, ..staged }))
}

/// Where memory goes, if not into files.
fn streams(staging: &Staging, request: &FreezeRequest) -> Result<Option<Arc<StreamsWriter>>, FreezeError> {
    let Some(Streaming { keys, proven, volume, .. }) = &request.streaming else { return Ok(None) };
    let begun = StreamsWriter::begin(staging, (keys, proven), *volume, &request.headway);
    Ok(Some(Arc::new(begun.map_err(io_at("begin streams in", staging.path()))?)))
}

/// The tree, if nothing is known that CRIU would refuse of it. What else runs beside one that is to stop is ended before.
fn freezable(request: &FreezeRequest) -> Result<Tree, FreezeError> {
    refuse_strays(&request.strays)?;
    enough()?;
    if request.leave == Leave::Stopped {
        sessions::end(request.root, criu::child_pid());
    }
    let tree = Snapshot::take().tree(request.root);
    unfreezable::of(&tree).into_iter().next().map_or(Ok(()), Err)?;
    refuse_connections(&tree, request.unix_connections)?;
    Ok(tree)
}

/// What CRIU has said stays with the image.
fn keep_log(images: &Path) -> Result<(), FreezeError> {
    let log = images.join(limits::DUMP_LOG);
    criu::last_log().and_then(|said| create_private(&log, &said)).map_err(io_at("write", &log))?;
    Ok(())
}

/// What the dump took, and for how much of it a tree stood still that goes on: what CRIU has written may be stored after that.
fn durations(
    leave: Leave,
    (began, over): (Instant, Instant),
    frozen: Option<Instant>,
) -> BTreeMap<String, u64> {
    let paused =
        frozen.filter(|_| leave == Leave::Running).map(|since| over.saturating_duration_since(since));
    let steps = [(manifest::DUMP, Some(began.elapsed())), (manifest::PAUSE, paused)].into_iter();
    steps.filter_map(|(step, took)| Some((step.to_owned(), whole_ms(took?)))).collect()
}

/// What the kernel does not tell CRIU finds.
fn refuse_connections(tree: &Tree, wish: UnixConnections) -> Result<(), FreezeError> {
    match wish {
        UnixConnections::Close => Ok(()),
        UnixConnections::Refuse => outside::of(tree)
            .unwrap_or_default()
            .first()
            .map_or(Ok(()), |one| Err(FreezeError::Connected(one.told().to_owned()))),
    }
}

/// What CRIU is to do with connections of TCP. It must look at all or none, which is a risk to those that are closed in any case.
fn connections(request: &FreezeRequest, tree: &Tree) -> Connections {
    let is_wanted = request.loopback_connections == LoopbackConnections::Keep;
    if is_wanted && !loopback::within(tree).is_empty() && loopback::is_possible() {
        Connections::Keep
    } else {
        Connections::Close
    }
}

/// A process that a restore put outside the tree is ours; a dump would leave it behind.
fn refuse_strays(strays: &[i32]) -> Result<(), FreezeError> {
    let own = std::process::id().cast_signed();
    let children = Snapshot::take();
    let alive: Vec<i32> =
        children.children(own).map(|child| child.pid).filter(|pid| strays.contains(pid)).collect();
    if alive.is_empty() { Ok(()) } else { Err(FreezeError::Strays(alive)) }
}

fn make_directory(path: &Path) -> Result<PathBuf, FreezeError> {
    DirBuilder::new().mode(0o700).create(path).map_err(io_at("create", path))?;
    Ok(path.to_owned())
}
