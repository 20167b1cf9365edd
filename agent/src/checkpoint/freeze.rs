//! Freezes the tree: CRIU writes its image into the staging directory, and leaves every process stopped or lets it go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crik_store::generation::clock_facts::{ClockFacts, Installed};
use crik_store::generation::file_numbers::FileNumbers;
use crik_store::generation::manifest;
use crik_store::generation::open_files::{UnnamedFile, VolumeFile};
use crik_store::generation::tree_facts::{
    Cgroups, DatagramPeer, KubeletFile, PodAddress, StdioMap, TerminalFacts, TreeFacts,
};
use crik_store::image_dir::durable::create_private;
use crik_store::image_dir::staging::Staging;
use crik_store::image_dir::{ImageDirError, io_at, layout};
use nix::sys::signal::Signal;
use thiserror::Error;

use crate::base::fault_points::{Point, reach};
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::units::whole_ms;
use crate::carry::datagram_peers::Detached;
use crate::carry::files::{BesideDump, CarryError, Carrying, Summary};
use crate::carry::loopback as carried_connections;
use crate::carry::open_files::{self, LostNames, UnreachableError};
use crate::carry::watched::{self, Watched, WatchedError};
use crate::carry::{
    addresses, cgroup_files, clocks, file_numbers, kubelet_files, orphans, streams, terminal,
};
use crate::checkpoint::removed_paths::RemovedPaths;
use crate::config::{LoopbackConnections, UnixConnections};
use crate::tree::criu::images::ImageError;
use crate::tree::criu::{self, Connections, CriuError, Dump, Hook, IPC_IMAGE, Leave, Pause};
use crate::tree::process::capabilities::permitted;
use crate::tree::process::lacking_rights::{Lacking, enough};
use crate::tree::process::loopback::{self, BeforeRepair, Quiet};
use crate::tree::process::outside::{self, Outside};
use crate::tree::process::snapshot::{Snapshot, Tree};
use crate::tree::process::unfreezable::{self, Unfreezable};
use crate::tree::process::{ipc_namespace, sessions, system_v};

/// What to freeze, and what goes with it.
#[derive(Debug, Clone)]
pub struct FreezeRequest {
    /// The tree's root.
    pub root: i32,
    /// The program of the root.
    pub init: PathBuf,
    /// The library that keeps its clocks going.
    pub library: Option<Installed>,
    /// Processes of the application that are outside its tree.
    pub strays: Vec<i32>,
    /// What the tree finds of its connections over UNIX sockets to other containers when it is resumed.
    pub unix_connections: UnixConnections,
    /// What becomes of connections over loopback within the tree.
    pub loopback_connections: LoopbackConnections,
    /// Paths that are removed before the dump, if the application does not need them any more.
    pub inotify_incompatible_paths: Vec<PathBuf>,
    /// Files of the container that go with it.
    pub carrying: Arc<Carrying>,
    /// What becomes of the tree afterwards.
    pub leave: Leave,
    /// Given up when the dump would come too late.
    pub headway: Arc<Headway>,
}

/// Why the tree could not be frozen. It runs on.
#[derive(Debug, Error)]
pub enum FreezeError {
    /// Processes belong to the application but not to the tree.
    #[error("processes {0:?} of the application are outside its tree and would be lost")]
    Strays(Vec<i32>),
    /// A subreaper inside the tree has adopted processes.
    #[error(
        "processes {0:?} were adopted inside the tree, and CRIU cannot give them their session back; start the program \
         without an init of its own (tini, dumb-init), since crik has one"
    )]
    LostSessions(Vec<i32>),
    /// CRIU may not do it, or what it dumps could not be restored with the rights that there are.
    #[error(transparent)]
    Lacking(#[from] Lacking),
    /// A process is traced, or has what CRIU does not know.
    #[error(transparent)]
    Unfreezable(#[from] Unfreezable),
    /// CRIU dumps no half of a connection.
    #[error(
        "{0}, which cannot be frozen: set unixConnections: close, where the resumed program reads the end of it, or let hooks.preCheckpoint \
         close it"
    )]
    Connected(String),
    /// The tree has processes that a restore would lose here.
    #[error("the tree has orphaned processes, which a restore cannot keep on this architecture")]
    Orphans,
    /// The staging directory cannot be used, or a path not be removed.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
    /// The next container would not have what the program has open.
    #[error(transparent)]
    Unreachable(#[from] UnreachableError),
    /// A watch could not be made again.
    #[error(transparent)]
    Watched(#[from] WatchedError),
    /// Not all of the container's files go along.
    #[error(transparent)]
    Carry(#[from] CarryError),
    /// The images of connections cannot be read or written.
    #[error(transparent)]
    Connections(#[from] ImageError),
    /// It began to have some of System V when CRIU was told already that it had none.
    #[error(
        "the program has made shared memory, semaphores or message queues of System V just as it was frozen"
    )]
    NewSystemV,
    /// CRIU could not dump it.
    #[error(transparent)]
    Criu(#[from] CriuError),
    /// Nobody could set them again.
    #[error("the clocks cannot be read: {0}")]
    Clocks(io::Error),
    /// It says that it did, without having paused for us.
    #[error("criu did not call back before the end of the dump; is it newer than this crik knows?")]
    NoPause,
    /// The application was told to stop meanwhile.
    #[error("the dump came too late to be begun")]
    TooLate,
}

impl HasOutlook for FreezeError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Volume(error) => error.outlook(),
            Self::Carry(error) => error.outlook(),
            Self::Criu(error) => error.outlook(),
            Self::Unreachable(error) => error.outlook(),
            Self::Connections(ImageError::Io { source, .. }) => source.outlook(),
            Self::NewSystemV => Outlook::MayPass,
            _ => Outlook::Lasting,
        }
    }
}

/// The members of a stopped tree. Dropped without [`Stopped::kill`], they go on as before: a failed checkpoint costs
/// nothing.
pub struct Stopped {
    tree: Tree,
    /// Those that were stopped before the dump, and stay so.
    before: BTreeSet<i32>,
    /// What they find again when they go on.
    removed: RemovedPaths,
}

impl Stopped {
    /// Ends the tree: its image is durable, and from now on only the image may go on.
    pub fn kill(mut self) {
        std::mem::take(&mut self.tree).signal(Signal::SIGKILL);
        std::mem::take(&mut self.removed).forget();
    }
}

impl Drop for Stopped {
    /// Also those that do not look stopped: CRIU sends its SIGSTOP and leaves, and on a busy machine a process heeds it only
    /// after we have looked. It would be stopped for ever. A SIGCONT takes a SIGSTOP back that is still pending (signal(7)).
    fn drop(&mut self) {
        std::mem::take(&mut self.tree).without(&self.before).signal(Signal::SIGCONT);
    }
}

/// What is in the staging directory, and what the manifest will say of it.
pub struct Staged {
    /// The tree that was dumped.
    pub tree: TreeFacts,
    /// Where its standard streams lead.
    pub stdio: StdioMap,
    /// The container's terminal.
    pub terminal: TerminalFacts,
    /// Its open control group files.
    pub cgroups: Cgroups,
    /// Its clocks.
    pub clocks: ClockFacts,
    /// The pod's addresses.
    pub addresses: Vec<PodAddress>,
    /// The files of ConfigMaps and their like that it has open.
    pub kubelet_files: Vec<KubeletFile>,
    /// Its datagram sockets that are connected to those of other pods.
    pub datagram_peers: Vec<DatagramPeer>,
    /// The files that went along.
    pub carried: Summary,
    /// The files of volumes that it had open.
    pub volume_files: Vec<VolumeFile>,
    /// By which numbers the tree knows the files that it has open.
    pub file_numbers: Vec<FileNumbers>,
    /// Those of its open files that have lost their name.
    pub unnamed_files: Vec<UnnamedFile>,
    /// What each step took, in milliseconds.
    pub durations_ms: BTreeMap<String, u64>,
}

/// Dumps the tree into the staging directory. Blocks; [`crate::tree::criu::give_up`] ends it early.
///
/// # Errors
/// The tree cannot be dumped whole. It then runs on.
pub fn freeze(staging: &Staging, request: &FreezeRequest) -> Result<(Stopped, Staged), FreezeError> {
    refuse_strays(&request.strays)?;
    enough()?;
    if request.leave == Leave::Stopped {
        sessions::end(request.root, criu::child_pid());
    }
    let tree = Snapshot::take().tree(request.root);
    unfreezable::of(&tree).into_iter().next().map_or(Ok(()), Err)?;
    refuse_connections(&tree, request.unix_connections)?;
    let before = tree.stopped();
    let staging = staging.make()?;
    let images = make_directory(&staging.join(layout::IMAGES))?;
    if request.headway.is_given_up() {
        return Err(FreezeError::TooLate);
    }
    let removed = match request.leave {
        Leave::Stopped => RemovedPaths::remove(&request.inotify_incompatible_paths)?,
        Leave::Running => RemovedPaths::default(),
    };
    let watched = watched(request)?;
    watched.tell(&images)?;

    let (began, frozen) = (Instant::now(), Arc::new(Mutex::new(Frozen::default())));
    let headway = &request.headway;
    let connections = connections(request, &tree);
    let terminal = terminal::of(&tree);
    let what = Dump {
        root: request.root,
        images: &images,
        leave: request.leave,
        external: &terminal.names,
        connections,
        headway,
    };
    let outcome = criu::dump(&what, hook(request, connections, (staging.to_owned(), watched), &frozen));
    // If CRIU failed in between; before anything that is still stopped goes on.
    drop(std::mem::take(&mut locked(&frozen).detached));
    drop(std::mem::take(&mut locked(&frozen).quiet));
    if let Some(before) = std::mem::take(&mut locked(&frozen).before_repair) {
        before.end(&Snapshot::take().tree(request.root));
    }
    // Only now, since the tree changed until it stopped; and also after a failure, since a CRIU that was killed may have
    // stopped some of it.
    let stopped = match (request.leave, &outcome) {
        (Leave::Running, Ok(())) => Stopped { tree: Tree::default(), before, removed },
        _ => Stopped { tree: Snapshot::take().tree(request.root), before, removed },
    };
    outcome?;
    reach(Point::Frozen);
    watched::forget_paths(&images).map_err(io_at("clean up", &images))?;
    let log = images.join(limits::DUMP_LOG);
    criu::last_log().and_then(|said| create_private(&log, &said)).map_err(io_at("write", &log))?;
    let frozen = std::mem::take(&mut *locked(&frozen));
    let mut staged = Staged { terminal, ..frozen.staged.unwrap_or(Err(FreezeError::NoPause))? };
    staged.durations_ms.insert(manifest::DUMP.to_owned(), whole_ms(began.elapsed()));
    if let (Leave::Running, Some(since)) = (request.leave, frozen.since) {
        staged.durations_ms.insert(manifest::PAUSE.to_owned(), whole_ms(since.elapsed()));
    }
    Ok((stopped, staged))
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

/// What is resumed finds connections closed that lead out of the tree. Those of a tree that goes on stay as they are.
fn cut_off(tree: &Tree, leave: Leave) {
    let cut = outside::of(tree).and_then(|found| {
        criu::cut_off(found.iter().map(Outside::inode))?;
        Ok(found)
    });
    match cut {
        Ok(found) if leave == Leave::Stopped => {
            found
                .iter()
                .for_each(|one| tracing::info!(step = "freeze", "closed for the next pod: {}", one.told()));
        }
        Ok(found) => {
            found
                .iter()
                .for_each(|one| tracing::debug!(step = "freeze", "closed in the image: {}", one.told()));
        }
        // If there are any, CRIU says so.
        Err(error) => tracing::debug!(step = "freeze", "connections to outside are not known: {error}"),
    }
}

/// What the tree watches now.
fn watched(request: &FreezeRequest) -> Result<Watched, WatchedError> {
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

/// What is learned while the tree is frozen.
#[derive(Default)]
struct Frozen {
    since: Option<Instant>,
    files: Option<BesideDump>,
    /// The names of open files that have lost theirs.
    names: LostNames,
    /// Connections that CRIU must not see.
    detached: Detached,
    /// Connections over which nothing goes meanwhile.
    quiet: Quiet,
    /// What CRIU does not give back to a connection that it has looked at.
    before_repair: Option<BeforeRepair>,
    staged: Option<Result<Staged, FreezeError>>,
}

fn hook(
    request: &FreezeRequest,
    connections: Connections,
    (staging, watched): (PathBuf, Watched),
    frozen: &Arc<Mutex<Frozen>>,
) -> Hook {
    let (request, frozen) = (request.clone(), Arc::clone(frozen));
    Box::new(move |pause| {
        let mut frozen = locked(&frozen);
        match pause {
            Pause::BeforeFreeze => {
                reach(Point::BeforeFreeze);
                watch_again(&watched, &request, &staging.join(layout::IMAGES));
                frozen.since = Some(Instant::now());
                frozen.names = LostNames::give(&Snapshot::take().tree(request.root));
                let leave = frozen.names.paths();
                let carrying = Arc::clone(&request.carrying);
                frozen.files = Some(BesideDump::begin(carrying, staging.clone(), leave));
            }
            Pause::Frozen => {
                let tree = Snapshot::take().tree(request.root);
                frozen.detached = Detached::of(&tree);
                frozen.quiet =
                    if connections == Connections::Keep { Quiet::of(&tree) } else { Quiet::default() };
                frozen.before_repair = (connections == Connections::Keep).then(|| BeforeRepair::of(&tree));
                if request.unix_connections == UnixConnections::Close {
                    cut_off(&tree, request.leave);
                }
            }
            Pause::Dumped => {
                reach(Point::Dumped);
                // Connected again before anything of the tree runs, whatever comes of it.
                let datagram_peers = std::mem::take(&mut frozen.detached).facts();
                let (names, files) = (std::mem::take(&mut frozen.names), frozen.files.take());
                let whole = match connections {
                    Connections::Keep => {
                        carried_connections::settle(&staging.join(layout::IMAGES), &frozen.quiet.inodes())
                    }
                    Connections::Close => Ok(()),
                };
                let stage = |()| stage(&request, &staging, &names, files);
                let staged = whole.map_err(FreezeError::from).and_then(stage);
                frozen.quiet = Quiet::default();
                frozen.staged = Some(staged.map(|staged| Staged { datagram_peers, ..staged }));
            }
            Pause::BeforeFork | Pause::BeforeResume | Pause::Resumed => {}
        }
        Ok(())
    })
}

/// What goes with the image. The tree is frozen, so its files are those of the same moment.
fn stage(
    request: &FreezeRequest,
    staging: &Path,
    names: &LostNames,
    files: Option<BesideDump>,
) -> Result<Staged, FreezeError> {
    let tree = Snapshot::take().tree(request.root);
    refuse_new_system_v(request.root, &staging.join(layout::IMAGES))?;
    let goes_along = |path: &Path| request.carrying.takes(path);
    open_files::refuse_unreachable(&staging.join(layout::IMAGES), names, &goes_along)?;
    let open = open_files::note(&tree).map_err(io_at("read", Path::new("/proc/self/mountinfo")))?;
    Ok(Staged {
        tree: facts(&tree, request)?,
        stdio: streams::current(),
        terminal: TerminalFacts::default(),
        cgroups: cgroup_files::of(&tree),
        clocks: facts_of_clocks(&tree, request)?,
        addresses: addresses::own().unwrap_or_else(unknown("the pod's addresses are")),
        kubelet_files: kubelet_files::of(&staging.join(layout::IMAGES), &tree)
            .unwrap_or_else(unknown("what is open of ConfigMaps and Secrets is")),
        datagram_peers: Vec::new(),
        carried: files.ok_or(FreezeError::NoPause)?.finish(|| request.headway.is_given_up())?,
        file_numbers: file_numbers::known(open.named, request.library.as_ref())
            .unwrap_or_else(unknown("the inodes of files that are open are")),
        volume_files: open.on_volumes,
        unnamed_files: open_files::keep(names, staging, &|path| request.carrying.holds(path))
            .map_err(io_at("keep open files without a name in", staging))?,
        durations_ms: BTreeMap::new(),
    })
}

/// What was not there before the tree was frozen is in no image.
fn refuse_new_system_v(root: i32, images: &Path) -> Result<(), FreezeError> {
    let names = fs::read_dir(images).map_err(io_at("read", images))?.flatten().map(|entry| entry.file_name());
    let is_dumped = names.into_iter().any(|name| name.as_encoded_bytes().starts_with(IPC_IMAGE.as_bytes()));
    let is_new = || ipc_namespace::is_elsewhere(root) && system_v::is_in_that_of(root);
    if !is_dumped && is_new() { Err(FreezeError::NewSystemV) } else { Ok(()) }
}

fn facts_of_clocks(tree: &Tree, request: &FreezeRequest) -> Result<ClockFacts, FreezeError> {
    clocks::facts::of(tree, request.root, request.library.as_ref()).map_err(FreezeError::Clocks)
}

/// Without it a restore may fail, and without a checkpoint there would be none.
fn unknown<T: Default, E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> T {
    move |error| {
        tracing::warn!("{what} not in this checkpoint: {error}");
        T::default()
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

fn facts(tree: &Tree, request: &FreezeRequest) -> Result<TreeFacts, FreezeError> {
    let lost = tree.in_lost_sessions(request.root);
    if !lost.is_empty() {
        return Err(FreezeError::LostSessions(lost));
    }
    let orphans = tree.has_orphans(request.root);
    if orphans && !orphans::SUPPORTED {
        return Err(FreezeError::Orphans);
    }
    Ok(TreeFacts {
        root: request.root,
        init: request.init.clone(),
        processes: tree.0.len(),
        resident_bytes: tree.resident_bytes(),
        orphans,
        capabilities: tree.0.iter().fold(0, |all, process| all | permitted(process.pid)),
    })
}

fn make_directory(path: &Path) -> Result<PathBuf, FreezeError> {
    DirBuilder::new().mode(0o700).create(path).map_err(io_at("create", path))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

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

    #[test]
    fn what_of_system_v_was_made_just_as_it_was_frozen_fails_the_checkpoint_which_is_tried_again() {
        let images = tempfile::tempdir().unwrap();
        let refuse = |root| refuse_new_system_v(root, images.path());
        let make_and_start = || {
            // SAFETY: shmget(2) takes numbers.
            assert!(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) } >= 0);
            Command::new("sleep").arg("60").spawn()
        };
        let mut child = ipc_namespace::in_new(make_and_start).flatten().unwrap();
        let root = child.id().cast_signed();
        let made = refuse(root);
        fs::write(images.path().join(format!("{IPC_IMAGE}10.img")), "").unwrap();
        let dumped = refuse(root);
        child.kill().unwrap();
        child.wait().unwrap();
        let error = made.unwrap_err();
        assert!(matches!(error, FreezeError::NewSystemV) && error.outlook() == Outlook::MayPass, "{error}");
        dumped.unwrap();
    }
}
