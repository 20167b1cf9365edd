//! Asks CRIU for a dump.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::call::{COMPARE_CPU, Call, Connections, inheritable_directory, present_mounts};
use super::cancel::kill_now;
use super::error::CriuError;
use super::failable_dump::Failable;
use super::in_namespace::Namespaces;
use super::page_fifos::PageFifos;
use super::pages::PagesSink;
use super::pause::{Hook, Pause, hooked, notified};
use super::preload;
use super::umask::Umask;
use crate::base::headway::Headway;
use crate::base::panics::contained_now;

/// What becomes of the tree after a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It stays stopped.
    Stopped,
    /// It goes on.
    Running,
}

impl Leave {
    /// With `link-remap`, since CRIU carries a file of the container's layer that was removed only where it has tried to link it
    /// (criu/files-reg.c, `check_overlayfs_fallback`). Others that have lost their name have one while it works.
    /// With `force-irmap`, since the inodes of what is watched are others in the next container, and their paths are the same.
    fn options(self) -> [&'static str; 4] {
        let leave = match self {
            Self::Stopped => "leave-stopped",
            Self::Running => "leave-running",
        };
        [leave, "link-remap", "force-irmap", COMPARE_CPU]
    }
}

/// What a dump is given.
pub struct Dump<'a> {
    /// The tree's root.
    pub root: i32,
    /// The directory into which the images are written.
    pub images: &'a Path,
    /// What becomes of the tree afterwards.
    pub leave: Leave,
    /// CRIU's names for what it has open and another file will take the place of.
    pub external: &'a [String],
    /// What becomes of its connections.
    pub connections: Connections,
    /// Given up when nobody waits for it any more.
    pub headway: &'a Arc<Headway>,
    /// Takes the pages of memory in place of files in the directory; the other images are files in any case.
    pub pages: Option<Arc<dyn PagesSink>>,
}

/// Dumps a tree; the moment at which CRIU had ended, and a tree that was to go on did. At CRIU's pauses the hook is called, whose errors are ignored: the library would no longer wait for CRIU to let
/// the tree go. Blocks.
///
/// # Errors
/// CRIU refused, or it was given up before it began; the tree then runs as before. Or the sink of the pages failed, and if that was last of
/// all the tree is left as after a dump.
pub fn dump(what: &Dump<'_>, mut hook: Hook) -> Result<Instant, CriuError> {
    let namespaces = Namespaces::of_tree(what.root);
    let options = [&what.leave.options()[..], &[what.connections.option()]].concat();
    let call = Call::begin(namespaces, &options, what.headway)?.preloaded(preload::DUMP_LIBRARY)?;
    let _failable =
        Failable::begin().map_err(|source| CriuError::Prepare { what: "ignore SIGXFSZ", source })?;
    let _private = Umask::private().map_err(|source| CriuError::Prepare { what: "set the umask", source })?;
    let directory = inheritable_directory(what.images)?;
    let begin = |sink: &Arc<dyn PagesSink>| PageFifos::begin(what.images, Arc::clone(sink));
    let fifos = what.pages.as_ref().map(begin).transpose();
    let fifos = fifos.map_err(|source| CriuError::Prepare { what: "make FIFOs", source })?;
    let mut criu = call.request(&directory)?;
    criu.set_pid(what.root);
    criu.set_notify_scripts(true);
    criu.set_notify_cb(notified);
    for (name, path) in present_mounts() {
        criu.add_external(format!("mnt[{path}]:{name}"));
    }
    for name in what.external {
        criu.add_external(name.clone());
    }
    let headway = Arc::clone(what.headway);
    let ignoring = Box::new(move |pause| {
        if pause == Pause::BeforeFreeze && headway.is_given_up() {
            // The last moment at which nothing has happened yet: who gives a step up may have looked before CRIU was there.
            kill_now();
        }
        let _ = contained_now(|| hook(pause));
        Ok(())
    });
    let dumped = hooked(ignoring, || criu.dump()).map(|_| Instant::now());
    // Of its sink CRIU can only tell that it is gone.
    fifos.map_or(Ok(()), |fifos| fifos.end(dumped.is_ok(), what.headway)).map_err(CriuError::Pages)?;
    dumped.map_err(|error| call.refused(&error))
}
