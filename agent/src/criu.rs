//! CRIU, by way of rust-criu: the one file that names either.
//!
//! rust-criu has no setters for some options, so they stand in a configuration file that CRIU reads wherever
//! `CRIU_CONFIG_FILE` points. That is a memory file at a fixed descriptor, since nothing on disk may be writable.

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use rust_criu::rust_criu_protobuf::rpc::Criu_notify;
use rust_criu::{CgMode, Criu};
use thiserror::Error;

use crate::advice::{advice, first_error};
use crate::cancel::Failable;
use crate::defect::contained_now;
use crate::limits::{self, CriuVersion};
use crate::reap::Elsewhere;
use crate::tree::Snapshot;

/// The environment variable by which CRIU finds its configuration file.
pub const CONFIG_VARIABLE: &str = "CRIU_CONFIG_FILE";

/// Where the configuration file is while CRIU runs: above any descriptor that we otherwise have.
const CONFIG_FD: RawFd = 199;

/// Where CRIU's log goes while it runs, a memory file too: CRIU writes each line at once, over a thousand for a small tree,
/// and a volume may take a millisecond for each while the tree is frozen; and the reason of a failure can be read although
/// the volume has failed.
const LOG_FD: RawFd = 198;

/// Has CRIU write down what CPU it dumps on, and compare it first of all at a restore: the instructions, and the layout of
/// the registers that XSAVE writes, of which /proc/cpuinfo does not tell. A CPU with more instructions is good enough, one
/// with another layout is not, since libc has measured it at its start. With an equals sign, as the value is optional.
const COMPARE_CPU: &str = "cpu-cap=fpu,ins";

/// The image that `COMPARE_CPU` writes.
const CPU_IMAGE: &str = "cpuinfo.img";

/// Held during a call: there is one configuration file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The log of the last call.
static LAST_LOG: Mutex<Option<File>> = Mutex::new(None);

/// What CRIU said in the last call that has ended.
///
/// # Errors
/// It cannot be read.
pub fn last_log() -> io::Result<Vec<u8>> {
    let mut log = Vec::new();
    if let Some(file) = &mut *LAST_LOG.lock().unwrap_or_else(PoisonError::into_inner) {
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut log)?;
    }
    Ok(log)
}

/// Why CRIU did not do it.
#[derive(Debug, Error)]
pub enum CriuError {
    /// The program is not there.
    #[error("criu cannot be run ({0}); install criu {min} or newer in the container", min = limits::OLDEST_CRIU)]
    Missing(String),
    /// It is, but too old.
    #[error("criu is {0}, and {min} or newer is needed; install it in the container", min = limits::OLDEST_CRIU)]
    TooOld(CriuVersion),
    /// It refused; what its log says first.
    #[error("criu failed: {first}{advice}", advice = advice(first))]
    Refused {
        /// The first error in its log, or what the library says.
        first: String,
    },
    /// What it needs could not be prepared.
    #[error("cannot {what} for criu: {source}")]
    Prepare {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Tells every CRIU that this process starts where its configuration is.
///
/// # Safety
/// The environment is changed, so no other thread may run yet.
pub unsafe fn prepare_environment() {
    // SAFETY: the caller's promise.
    unsafe { std::env::set_var(CONFIG_VARIABLE, format!("/proc/self/fd/{CONFIG_FD}")) };
}

/// The version of the `criu` that is installed. It is asked once: a container's programs do not change.
///
/// # Errors
/// It is missing or too old.
pub fn version() -> Result<CriuVersion, CriuError> {
    static KNOWN: OnceLock<CriuVersion> = OnceLock::new();
    match KNOWN.get() {
        Some(version) => Ok(*version),
        None => ask_version().map(|version| *KNOWN.get_or_init(|| version)),
    }
}

fn ask_version() -> Result<CriuVersion, CriuError> {
    let _call = Call::begin(&[])?;
    let missing = |error: rust_criu::CriuError| CriuError::Missing(error.to_string());
    let found = CriuVersion(Criu::new().and_then(|mut criu| criu.get_criu_version()).map_err(missing)?);
    if found < limits::OLDEST_CRIU { Err(CriuError::TooOld(found)) } else { Ok(found) }
}

/// What becomes of the tree after a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It stays stopped.
    Stopped,
    /// It goes on.
    Running,
}

impl Leave {
    fn options(self) -> &'static [&'static str] {
        match self {
            // Files that have lost their name but not their last link get a name for as long as the image is there.
            Self::Stopped => &["leave-stopped", "link-remap", COMPARE_CPU],
            // CRIU removes these names again when it lets the tree go on (criu/cr-dump.c), so the image could not be
            // restored. Without the option such a file is refused.
            Self::Running => &["leave-running", COMPARE_CPU],
        }
    }
}

/// Dumps the tree of `root` into the directory `images`. At CRIU's pauses the hook is called, whose errors are ignored: the
/// library would no longer wait for CRIU to let the tree go. Blocks.
///
/// # Errors
/// CRIU refused; the tree then runs as before.
pub fn dump(root: i32, images: &Path, leave: Leave, mut hook: Hook) -> Result<(), CriuError> {
    let call = Call::begin(leave.options())?;
    let _failable =
        Failable::begin().map_err(|source| CriuError::Prepare { what: "ignore SIGXFSZ", source })?;
    let directory = inheritable_directory(images)?;
    let mut criu = request(&directory)?;
    criu.set_pid(root);
    criu.set_notify_scripts(true);
    criu.set_notify_cb(notified);
    for (name, path) in present_mounts() {
        criu.add_external(format!("mnt[{path}]:{name}"));
    }
    let ignoring = Box::new(move |pause| {
        let _ = contained_now(|| hook(pause));
        Ok(())
    });
    hooked(ignoring, || criu.dump()).map_err(|error| call.refused(&error))
}

/// What a restore is given.
pub struct Restore<'a> {
    /// The directory of the images, which is not written.
    pub images: &'a Path,
    /// Where CRIU writes what it measures.
    pub work: &'a Path,
    /// Descriptors that stand in for files of the image, by CRIU's key for them.
    pub inherited: &'a [(RawFd, String)],
}

/// Called at CRIU's pauses. An error ends a restore, and CRIU kills what it has made.
pub type Hook = Box<dyn FnMut(Pause) -> io::Result<()> + Send>;

/// When CRIU pauses (criu(8), action scripts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// In a dump, before the first process is frozen.
    BeforeFreeze,
    /// The image is written, and all processes are frozen.
    Dumped,
    /// Before the first process is made.
    BeforeFork,
    /// All processes are restored and none runs yet.
    BeforeResume,
}

/// Restores a tree whose root becomes a child of this process. Blocks.
///
/// # Errors
/// CRIU refused, or the hook did.
pub fn restore(what: &Restore<'_>, hook: Hook) -> Result<(), CriuError> {
    // Generations of earlier releases do not say what CPU they are of.
    let missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let old = what.images.join(CPU_IMAGE).symlink_metadata().is_err_and(missing);
    let compare = (!old).then_some(COMPARE_CPU);
    let call = Call::begin(compare.as_slice())?;
    let (directory, work) = (inheritable_directory(what.images)?, inheritable_directory(what.work)?);
    let mut criu = request(&directory)?;
    criu.set_work_dir_fd(work.as_raw_fd());
    criu.set_rst_sibling(true);
    criu.set_notify_scripts(true);
    criu.set_notify_cb(notified);
    for (name, path) in present_mounts() {
        criu.add_external(format!("mnt[{name}]:{path}"));
    }
    for (fd, key) in what.inherited {
        criu.add_inherit_fd(*fd, key.clone())
            .map_err(|error| CriuError::Refused { first: error.to_string() })?;
    }
    hooked(hook, || criu.restore()).map_err(|error| call.refused(&error))
}

fn hooked<T>(hook: Hook, call: impl FnOnce() -> T) -> T {
    HOOK.set(Some(hook));
    let result = call();
    HOOK.set(None);
    result
}

/// The id of the CRIU that this process has started, told from other children by the configuration it inherited.
pub fn child_pid() -> Option<i32> {
    let own = std::process::id().cast_signed();
    let is_criu = |pid: &i32| fs::symlink_metadata(format!("/proc/{pid}/fd/{CONFIG_FD}")).is_ok();
    Snapshot::take().children(own).map(|child| child.pid).find(is_criu)
}

thread_local! {
    /// rust-criu's callback is a bare function that runs on the calling thread, so the hook waits for it here.
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

fn notified(script: &str, _: &Criu_notify, _: Option<RawFd>) -> i32 {
    let pause = match script {
        "pre-dump" => Pause::BeforeFreeze,
        "post-dump" => Pause::Dumped,
        "pre-restore" => Pause::BeforeFork,
        "post-restore" => Pause::BeforeResume,
        _ => return 0,
    };
    // A CRIU that is not answered would wait for ever, and with it a tree that is half restored.
    let outcome =
        contained_now(|| HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(pause))))
            .unwrap_or_else(|defect| Err(io::Error::other(defect)));
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            tracing::warn!("the restore is given up: {error}");
            1
        }
    }
}

/// One call of CRIU: its configuration file and its log exist as long as this does.
struct Call {
    _turn: MutexGuard<'static, ()>,
    /// rust-criu waits for the CRIU that it starts.
    _waits: Elsewhere,
    _config: HandedDown,
    _log: HandedDown,
}

impl Call {
    fn begin(more: &[&str]) -> Result<Self, CriuError> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let prepare = |source| CriuError::Prepare { what: "make memory files", source };
        let config = HandedDown::new(c"criu.conf", CONFIG_FD, options(more).as_bytes()).map_err(prepare)?;
        let log = HandedDown::new(c"criu.log", LOG_FD, b"").map_err(prepare)?;
        let kept = log.file().map_err(prepare)?;
        *LAST_LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(Self { _turn: turn, _waits: Elsewhere::begin(), _config: config, _log: log })
    }

    fn refused(&self, error: &rust_criu::CriuError) -> CriuError {
        refused(&last_log().unwrap_or_default(), error)
    }
}

/// A memory file at a fixed descriptor that every child inherits.
struct HandedDown(OwnedFd);

impl HandedDown {
    fn new(name: &CStr, fd: RawFd, contents: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
        file.write_all(contents)?;
        // SAFETY: the descriptor is for this alone and calls do not overlap; dup2(2) makes it without close-on-exec.
        if unsafe { libc::dup2(file.as_raw_fd(), fd) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened, and nobody else closes it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn file(&self) -> io::Result<File> {
        Ok(self.0.try_clone()?.into())
    }
}

/// The options for which rust-criu has no setter, in the form of criu(8)'s configuration files.
fn options(more: &[&str]) -> String {
    let mut lines = vec![
        // Locking the network needs NET_ADMIN, and connections are closed anyway.
        "network-lock skip".to_owned(),
        // The peers of a connection are gone by the time the pod is back.
        "tcp-close".to_owned(),
        format!("ghost-limit {}", limits::GHOST_LIMIT),
        format!("log-file /proc/self/fd/{LOG_FD}"),
    ];
    if !may_restore_clocks() {
        lines.push("unprivileged".to_owned());
    }
    lines.extend(more.iter().map(|&option| option.to_owned()));
    lines.join("\n") + "\n"
}

/// Without `unprivileged` CRIU restores the time namespace, for which it needs both.
pub fn may_restore_clocks() -> bool {
    use crate::checks::{Capability, has};
    has(Capability::SysAdmin) && has(Capability::SysTime)
}

fn request(images: &OwnedFd) -> Result<Criu, CriuError> {
    let mut criu = Criu::new().map_err(|error| CriuError::Missing(error.to_string()))?;
    criu.set_images_dir_fd(images.as_raw_fd());
    criu.set_log_level(limits::CRIU_LOG_LEVEL);
    criu.set_ext_unix_sk(true);
    criu.set_file_locks(true);
    // A pod's control groups are the kubelet's.
    criu.cgroups_mode(CgMode::IGNORE);
    Ok(criu)
}

fn present_mounts() -> impl Iterator<Item = (&'static str, &'static str)> {
    limits::EXTERNAL_MOUNTS.into_iter().filter(|(_, path)| Path::new(path).exists())
}

/// Opens a directory so that CRIU inherits it.
fn inheritable_directory(path: &Path) -> Result<OwnedFd, CriuError> {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
        .map_err(|source| CriuError::Prepare { what: "open the image directory", source: source.into() })
}

/// Opens a file for reading so that CRIU inherits it.
///
/// # Errors
/// It cannot be opened.
pub fn inheritable_file(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_RDONLY, Mode::empty())?)
}

fn refused(log: &[u8], error: &rust_criu::CriuError) -> CriuError {
    CriuError::Refused { first: first_error(log).unwrap_or_else(|| error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel;

    #[test]
    fn the_first_error_of_a_log_is_the_one_that_is_told() {
        let text = "(00.001) Dumping\n(00.010) Error (criu/io_uring.c:1): Can't dump anon_inode:[io_uring]\n\
                    (00.011) Error (criu/cr-dump.c:2): Dumping FAILED.\n";
        let error = refused(text.as_bytes(), &rust_criu::CriuError::VersionParse).to_string();
        assert_eq!(
            error,
            "criu failed: Can't dump anon_inode:[io_uring] — the program uses io_uring, which CRIU cannot dump: turn it \
             off in the program or on the node"
        );
    }

    #[test]
    fn without_a_log_the_library_speaks() {
        let error = refused(b"", &rust_criu::CriuError::VersionParse);
        assert!(error.to_string().contains("version"));
    }

    #[test]
    fn a_call_that_panics_is_over() {
        let call = || {
            let _call = Call::begin(&[]).unwrap();
            let _failable = Failable::begin().unwrap();
            assert!(cancel::is_failable());
            std::panic::resume_unwind(Box::new("in a call"));
        };
        let panicked = std::panic::catch_unwind(call).unwrap_err();
        assert_eq!(panicked.downcast_ref(), Some(&"in a call"));
        assert!(!cancel::is_failable());
        // And the next one gets its turn.
        drop(Call::begin(&[]).unwrap());
    }
}
