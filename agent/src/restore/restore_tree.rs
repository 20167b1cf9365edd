//! Restores a tree from a generation.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use crik_store::generation::manifest::Manifest;
use crik_store::generation::parts::Parts;
use crik_store::image_dir::layout;
use nix::unistd::dup;
use thiserror::Error;

use crate::base::fault_points::{Point, reach};
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};
use crate::carry::clocks::go_on::GoingOn;
use crate::carry::clocks::install::RebaseError;
use crate::carry::files::earlier::{self, CopyError};
use crate::carry::files::{self, PutBack, PutBackError};
use crate::carry::open_files::{self, OpenFileError, Placed};
use crate::carry::terminal::{self, NoTerminal, Settings, Terminal};
use crate::carry::{cgroup_files, datagram_peers, file_numbers, reserved_pids, streams};
use crate::config::Config;
use crate::restore::left_out::LeftOut;
use crate::restore::own_ipc;
use crate::tree::criu::images::{FileLocks, ImageError};
use crate::tree::criu::{self, Connections, CriuError, Hook, Namespaces, PagesSource, Pause, Restore};

/// Why the tree was not restored. Nothing of it runs.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// A file cannot be put back to where the tree expects it.
    #[error(transparent)]
    PutBack(#[from] PutBackError),
    /// The same, of a generation of an earlier release.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The clocks cannot be read.
    #[error("the clocks cannot be read: {0}")]
    Clocks(io::Error),
    /// The page of the library that keeps the clocks going cannot be set.
    #[error(transparent)]
    Page(#[from] RebaseError),
    /// The files of volumes that it had open are others now.
    #[error(transparent)]
    OpenFile(#[from] OpenFileError),
    /// An image is damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// There are no descriptors left for the standard streams.
    #[error("the standard streams cannot be handed on: {0}")]
    Streams(io::Error),
    /// It is at a terminal, and there is none.
    #[error(transparent)]
    Terminal(#[from] NoTerminal),
    /// CRIU could not restore it, or was told not to.
    #[error(transparent)]
    Criu(#[from] CriuError),
}

impl HasOutlook for RestoreError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::PutBack(error) => error.outlook(),
            Self::Copy(error) => error.outlook(),
            Self::Clocks(error) | Self::Streams(error) | Self::Page(RebaseError::Io { error, .. }) => {
                error.outlook()
            }
            Self::Page(RebaseError::Page { .. }) | Self::Terminal(_) => Outlook::Lasting,
            Self::OpenFile(error) => error.outlook(),
            Self::Image(error) => error.outlook(),
            Self::Criu(error) => error.outlook(),
        }
    }
}

/// Where a tree is restored from.
pub struct Source<'a> {
    /// The parts of the generation.
    pub parts: &'a Parts,
    /// Its images, as they fit this pod.
    pub images: &'a Path,
    /// What of them is kept as streams.
    pub pages: Option<Arc<dyn PagesSource>>,
    /// The locks that they leave out.
    pub locks: &'a FileLocks,
    /// What becomes of the connections in them.
    pub connections: Connections,
}

/// Restores the tree from a generation; its root becomes a child of ours. Before anything of it runs, `go` is asked, and the process
/// ids' counter is moved past the reserved ones; once it runs, `runs` is told, whatever CRIU still has to do. `cut` takes what was
/// written to files of volumes since. What was put back for a tree that does not run is undone. Blocks.
///
/// # Errors
/// It was not restored, and nothing of it runs.
pub fn restore(
    from: &Source<'_>,
    manifest: &Manifest,
    config: &Config,
    cut: &open_files::Place,
    headway: &Arc<Headway>,
    (go, runs): (impl FnMut() -> io::Result<()> + Send + 'static, impl FnMut() + Send + 'static),
) -> Result<(), RestoreError> {
    let Source { parts, images, ref pages, locks, connections } = *from;
    let mut streams = streams::inherited(&manifest.stdio);
    streams.extend(terminal::in_place_of(&manifest.terminal)?);
    let streams = handed_on(streams).map_err(RestoreError::Streams)?;
    let put_back = put_back(parts, manifest, config, headway)?;
    reach(Point::FilesPutBack);
    let placed = open_files::place(&manifest.unnamed_files, parts)?;
    let cuts = open_files::cut(&manifest.volume_files, cut, headway)?;
    reach(Point::FilesCut);
    let clocks = GoingOn::plan(manifest).map_err(RestoreError::Clocks)?;
    clocks.set_page(Some(&file_numbers::here(&manifest.file_numbers)))?;
    let moved = reopen_cgroup_files(manifest);
    let both = streams.iter().chain(&moved);
    let inherited: Vec<(RawFd, String)> = both.map(|(fd, key)| (fd.as_raw_fd(), key.clone())).collect();
    let work = Path::new(limits::RESTORE_WORK);
    let namespaces = Namespaces { time: clocks.namespace, ipc: own_ipc::namespace(manifest, config) };
    let pages = pages.clone();
    let what = Restore { images, work, inherited: &inherited, namespaces, connections, pages, headway };
    let settings = Terminal::here().map(|terminal| terminal.settings());
    let removed = own_ipc::removed(images, manifest)?;
    let left_out = LeftOut::new(&manifest.tree, clocks, (locks.clone(), removed), connections);
    criu::restore(&what, hook(manifest, left_out, settings, (placed, put_back), (go, runs)))
        .inspect_err(|_| settings.iter().for_each(Settings::give_back))?;
    cuts.stay();
    Ok(())
}

/// What is dropped undoes it.
fn put_back(
    parts: &Parts,
    manifest: &Manifest,
    config: &Config,
    headway: &Arc<Headway>,
) -> Result<Option<PutBack>, RestoreError> {
    if manifest.has(layout::CARRIED_LIST) {
        return Ok(Some(files::put_back(parts, config, headway)?));
    }
    earlier::put_back(
        &manifest.extra_paths,
        &parts.path().join(layout::FILES),
        manifest.extra.as_ref(),
        headway,
    )?;
    Ok(None)
}

fn hook(
    manifest: &Manifest,
    left_out: LeftOut,
    terminal: Option<Settings>,
    (mut placed, mut put_back): (Placed, Option<PutBack>),
    (mut go, mut runs): (impl FnMut() -> io::Result<()> + Send + 'static, impl FnMut() + Send + 'static),
) -> Hook {
    let (peers, controlled) = (manifest.datagram_peers.clone(), manifest.terminal.clone());
    Box::new(move |pause| match pause {
        Pause::BeforeFork => {
            reach(Point::BeforeFork);
            left_out.before_fork()
        }
        Pause::BeforeFreeze | Pause::Frozen | Pause::Dumped => Ok(()),
        Pause::BeforeResume => {
            // Only a tree that will run: after a failure the next generation needs the low ids again.
            reach(Point::BeforeResume);
            left_out.give()?;
            datagram_peers::attach(&peers);
            go()?;
            placed.take_away();
            terminal::control(&controlled);
            terminal.iter().for_each(Settings::give_back_size);
            reserved_pids::pass_reserved()?;
            // The last of all, for there is no way back from it, and yet before the tree could see what is set aside.
            put_back.take().into_iter().for_each(PutBack::keep);
            Ok(())
        }
        Pause::Resumed => {
            runs();
            Ok(())
        }
    })
}

/// Each by a descriptor of its own: CRIU is started with a standard input that is not ours.
fn handed_on(streams: Vec<(RawFd, String)>) -> io::Result<Vec<(OwnedFd, String)>> {
    let duplicate = |(fd, key): (RawFd, String)| {
        // SAFETY: they are our standard streams, which stay open as long as this process lives.
        Ok((dup(unsafe { BorrowedFd::borrow_raw(fd) })?, key))
    };
    streams.into_iter().map(duplicate).collect()
}

/// Opens the new pod's control group files in place of the old pod's, under CRIU's key: the old path without its
/// leading slash (criu(8), `--inherit-fd`).
pub(super) fn reopen_cgroup_files(manifest: &Manifest) -> Vec<(OwnedFd, String)> {
    let moved = cgroup_files::moved(&manifest.cgroups, &cgroup_files::own());
    let reopened = moved.into_iter().filter_map(|(old, new)| {
        let fd = criu::inheritable_file(&new)
            .inspect_err(|error| {
                tracing::warn!("cannot open {} in place of {}: {error}", new.display(), old.display())
            })
            .ok()?;
        let key = old.strip_prefix("/").unwrap_or(&old).to_string_lossy().into_owned();
        Some((fd, key))
    });
    reopened.collect()
}
