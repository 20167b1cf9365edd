//! CRIU, by way of rust-criu: the one file that names either.
//!
//! rust-criu has no setters for some options, so they stand in a configuration file that CRIU reads wherever
//! `CRIU_CONFIG_FILE` points. That is a memory file at a fixed descriptor, since nothing on disk may be writable.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;

use nix::fcntl::{FallocateFlags, OFlag, fallocate, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use rust_criu::{CgMode, Criu};

use super::become_criu::by_way_of_us;
use super::error::{CriuError, refused};
use super::in_namespace::{NAMESPACE_FD, Namespaces};
use super::preload::{LIBRARY_FD, NOTES_FD};
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::tree::process::reap::Elsewhere;

/// Where the configuration file is while CRIU runs: above any descriptor that we otherwise have.
pub const CONFIG_FD: RawFd = 199;

/// Where CRIU's log goes while it runs, a memory file too: CRIU writes each line at once, over a thousand for a small tree,
/// and a volume may take a millisecond for each while the tree is frozen; and the reason of a failure can be read although
/// the volume has failed.
const LOG_FD: RawFd = 198;

/// Has CRIU write down what CPU it dumps on, and compare it first of all at a restore: the instructions, and the layout of
/// the registers that XSAVE writes, of which /proc/cpuinfo does not tell. A CPU with more instructions is good enough, one
/// with another layout is not, since libc has measured it at its start. With an equals sign, as the value is optional.
pub const COMPARE_CPU: &str = "cpu-cap=fpu,ins";

/// What CRIU does with connections of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// It leaves them alone in a dump, and makes sockets that are connected with nobody in a restore.
    Close,
    /// It takes them apart, and puts them together.
    Keep,
}

impl Connections {
    /// As CRIU calls it.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Close => "tcp-close",
            Self::Keep => "tcp-established",
        }
    }
}

/// Held during a call: there is one configuration file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The log of the last call.
static LAST_LOG: Mutex<Option<File>> = Mutex::new(None);

/// What CRIU said in the last call that has ended, without the middle of a very long one.
///
/// # Errors
/// It cannot be read.
pub fn last_log() -> io::Result<Vec<u8>> {
    locked(&LAST_LOG).as_ref().map_or(Ok(Vec::new()), without_middle)
}

fn without_middle(file: &File) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    let (head, tail) = (limits::LOG_HEAD_BYTES, limits::LOG_TAIL_BYTES);
    if size <= head + tail {
        return read_part(file, 0, size);
    }
    let cut = format!("\n[{} bytes are left out]\n", size - head - tail);
    Ok([read_part(file, 0, head)?, cut.into_bytes(), read_part(file, size - tail, tail)?].concat())
}

fn read_part(file: &File, at: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut part = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut part, at)?;
    Ok(part)
}

/// Gives the memory back that the middle of a very long log takes: it is the container's, which may be at its limit. Nothing else can
/// be done about a CRIU that writes a line for each run of pages.
pub fn bound_log() {
    let Some(log) = log_file() else { return };
    let size = log.metadata().map_or(0, |meta| meta.len());
    let middle = size.saturating_sub(limits::LOG_HEAD_BYTES + limits::LOG_TAIL_BYTES);
    if middle > 0 {
        let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // The log is then longer, which is no harm but for its memory.
        let _ = fallocate(&log, how, limits::LOG_HEAD_BYTES.cast_signed(), middle.cast_signed());
    }
}

/// The log of the call that is under way, to be read at places of one's own.
pub fn log_file() -> Option<File> {
    locked(&LAST_LOG).as_ref().and_then(|file| file.try_clone().ok())
}

/// Tells every CRIU that this process starts where its configuration is.
///
/// # Safety
/// The environment is changed, so no other thread may run yet.
pub unsafe fn prepare_environment() {
    // SAFETY: the caller's promise.
    unsafe { std::env::set_var(limits::CRIU_CONFIG_VARIABLE, format!("/proc/self/fd/{CONFIG_FD}")) };
    [CONFIG_FD, LOG_FD, NAMESPACE_FD, LIBRARY_FD, NOTES_FD].into_iter().for_each(reserve);
}

/// Keeps a descriptor for what CRIU is handed, so that no file of ours ever gets its number: it would be closed by the next call.
fn reserve(fd: RawFd) {
    let Ok(null) = File::open("/dev/null") else { return };
    // SAFETY: the descriptor is for this alone. Where there are fewer the calls fail and say so.
    unsafe { libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC) };
}

/// One call of CRIU: its configuration file and its log exist as long as this does.
pub struct Call {
    _handed_down: [HandedDown; 3],
    /// What CRIU is preloaded with, and what that reads or notes.
    library: Option<[HandedDown; 2]>,
    /// rust-criu waits for the CRIU that it starts.
    _waits: Elsewhere,
    /// Given back last, since the next call takes the same descriptors.
    _turn: MutexGuard<'static, ()>,
}

impl Call {
    /// Begins one in these namespaces, with these options besides those of every call. An earlier one may take as long as the
    /// volume likes; it is waited for until this one is given up.
    ///
    /// # Errors
    /// Memory files cannot be made, or it was given up.
    pub fn begin(namespaces: Namespaces, more: &[&str], headway: &Headway) -> Result<Self, CriuError> {
        let turn = turn(headway)?;
        let prepare = |source| CriuError::Prepare { what: "make memory files", source };
        let config = HandedDown::new(c"criu.conf", CONFIG_FD, options(more).as_bytes()).map_err(prepare)?;
        let log = HandedDown::new(c"criu.log", LOG_FD, b"").map_err(prepare)?;
        let place =
            HandedDown::new(c"namespaces", NAMESPACE_FD, namespaces.line().as_bytes()).map_err(prepare)?;
        let kept = log.file().map_err(prepare)?;
        *locked(&LAST_LOG) = Some(kept);
        let handed_down = [config, log, place];
        let waits = Elsewhere::begin();
        Ok(Self { _turn: turn, _waits: waits, _handed_down: handed_down, library: None })
    }

    /// Has CRIU be preloaded with this library.
    ///
    /// # Errors
    /// A memory file cannot be made.
    pub fn preloaded(mut self, library: &[u8]) -> Result<Self, CriuError> {
        let prepare = |source| CriuError::Prepare { what: "make memory files", source };
        let library = HandedDown::new(c"criu.so", LIBRARY_FD, library).map_err(prepare)?;
        let notes = HandedDown::new(c"criu.notes", NOTES_FD, b"").map_err(prepare)?;
        self.library = Some([library, notes]);
        Ok(self)
    }

    /// What every call asks for, with the directory of its images.
    ///
    /// # Errors
    /// The program is not there.
    pub fn request(&self, images: &OwnedFd) -> Result<Criu, CriuError> {
        let mut criu = self.criu()?;
        criu.set_images_dir_fd(images.as_raw_fd());
        criu.set_log_level(limits::CRIU_LOG_LEVEL);
        criu.set_ext_unix_sk(true);
        criu.set_file_locks(true);
        // A pod's control groups are the kubelet's.
        criu.cgroups_mode(CgMode::IGNORE);
        Ok(criu)
    }

    /// The program.
    ///
    /// # Errors
    /// It is not there.
    pub fn criu(&self) -> Result<Criu, CriuError> {
        by_way_of_us().map_err(|error| CriuError::Missing(error.to_string()))
    }

    /// Why CRIU refused, as its log says.
    pub fn refused(&self, error: &dyn std::fmt::Display) -> CriuError {
        refused(&last_log().unwrap_or_default(), error)
    }
}

/// Whether a call is under way.
pub fn is_called() -> bool {
    matches!(ONE_AT_A_TIME.try_lock(), Err(TryLockError::WouldBlock))
}

/// Waits until no other call is under way.
fn turn(headway: &Headway) -> Result<MutexGuard<'static, ()>, CriuError> {
    loop {
        if headway.is_given_up() {
            return Err(CriuError::GivenUp);
        }
        match ONE_AT_A_TIME.try_lock() {
            Ok(turn) => return Ok(turn),
            Err(TryLockError::Poisoned(turn)) => return Ok(turn.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(limits::TURN_POLL),
        }
    }
}

/// A memory file at a fixed descriptor that every child inherits.
struct HandedDown(RawFd);

impl HandedDown {
    fn new(name: &CStr, fd: RawFd, contents: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
        file.write_all(contents)?;
        // SAFETY: the descriptor is for this alone and calls do not overlap; dup2(2) makes it without close-on-exec.
        if unsafe { libc::dup2(file.as_raw_fd(), fd) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(fd))
    }

    fn file(&self) -> io::Result<File> {
        // SAFETY: it is open as long as this lives.
        Ok(unsafe { BorrowedFd::borrow_raw(self.0) }.try_clone_to_owned()?.into())
    }
}

impl Drop for HandedDown {
    fn drop(&mut self) {
        reserve(self.0);
    }
}

/// The options for which rust-criu has no setter, in the form of criu(8)'s configuration files.
fn options(more: &[&str]) -> String {
    let mut lines = vec![
        // Locking the network would lock it for the other containers of the pod, and for good if CRIU is ended; what is kept of
        // connections are those of which both ends are frozen.
        "network-lock skip".to_owned(),
        // With more capabilities than a pod has it would ask for what only the machine's root may, and restore time namespaces.
        "unprivileged".to_owned(),
        // Neither does one that nobody has accepted yet: its client connects again as all others do.
        "skip-in-flight".to_owned(),
        // A kubelet or a volume's driver gives files other modes (fsGroup, defaultMode); size and build-ID are compared.
        "skip-file-rwx-check".to_owned(),
        format!("ghost-limit {}", limits::GHOST_LIMIT),
        format!("log-file /proc/self/fd/{LOG_FD}"),
    ];
    lines.extend(more.iter().map(|&option| option.to_owned()));
    lines.join("\n") + "\n"
}

/// The external mounts that this container has, each with its name.
pub fn present_mounts() -> impl Iterator<Item = (&'static str, &'static str)> {
    limits::EXTERNAL_MOUNTS.into_iter().filter(|(_, path)| Path::new(path).exists())
}

/// Opens a directory so that CRIU inherits it.
///
/// # Errors
/// It cannot be opened.
pub fn inheritable_directory(path: &Path) -> Result<OwnedFd, CriuError> {
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

#[cfg(test)]
mod tests {
    use super::super::failable_dump::{Failable, is_failable};
    use super::*;

    #[test]
    fn a_call_that_was_given_up_while_it_waited_for_its_turn_is_none() {
        let under_way = Call::begin(Namespaces::OWN, &[], &Headway::default()).unwrap();
        let headway = Headway::default();
        let begin = || Call::begin(Namespaces::OWN, &[], &headway).map(drop);
        thread::scope(|scope| {
            let waiting = scope.spawn(begin);
            headway.give_up();
            assert!(matches!(waiting.join().unwrap(), Err(CriuError::GivenUp)));
        });
        drop(under_way);
        // Also when its turn would have come at the same moment.
        assert!(matches!(begin(), Err(CriuError::GivenUp)));
    }

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end_and_little_memory() {
        use std::os::unix::fs::MetadataExt;
        let call = Call::begin(Namespaces::OWN, &[], &Headway::default()).unwrap();
        let mut log = log_file().unwrap();
        log.write_all(b"begun\n").unwrap();
        (0..40).for_each(|_| log.write_all(&vec![b'x'; 1 << 20]).unwrap());
        log.write_all(b"\nended").unwrap();
        bound_log();
        drop(call);
        let said = String::from_utf8(last_log().unwrap()).unwrap();
        assert!(said.starts_with("begun\nxx") && said.ends_with("xx\nended"), "{} bytes", said.len());
        assert!(said.contains(" bytes are left out]") && !said.contains('\0'));
        let bound = limits::LOG_HEAD_BYTES + limits::LOG_TAIL_BYTES;
        assert!(log.metadata().unwrap().blocks() * 512 <= bound + 8192);
    }

    #[test]
    fn a_call_that_panics_is_over() {
        let call = || {
            let _call = Call::begin(Namespaces::OWN, &[], &Headway::default()).unwrap();
            let _failable = Failable::begin().unwrap();
            assert!(is_failable());
            std::panic::resume_unwind(Box::new("in a call"));
        };
        let panicked = std::panic::catch_unwind(call).unwrap_err();
        assert_eq!(panicked.downcast_ref(), Some(&"in a call"));
        assert!(!is_failable());
        // And the next one gets its turn.
        drop(Call::begin(Namespaces::OWN, &[], &Headway::default()).unwrap());
    }
}
