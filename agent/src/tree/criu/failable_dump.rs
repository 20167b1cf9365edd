//! Makes a dump fail by itself, so that it takes its own way out.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Set while a dump can be made to fail by itself.
static DUMPING: AtomicBool = AtomicBool::new(false);

/// True while a dump is under way that can be made to fail by itself.
pub fn is_failable() -> bool {
    DUMPING.load(Ordering::Acquire)
}

/// Lowers the size up to which `pid` may write files to nothing (prlimit(2)), for which a process of our own user needs no
/// capability.
pub fn refuse_writes(pid: i32) -> io::Result<()> {
    let nothing = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: prlimit(2) reads one structure, to which the reference is valid.
    let set = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &nothing, std::ptr::null_mut()) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// While this exists, a CRIU that is started survives a write which the file size limit refuses: it inherits that SIGXFSZ is
/// ignored. Only for a dump, since what a restore makes would inherit it too.
pub struct Failable {
    before: SigAction,
}

impl Failable {
    /// Begins a dump.
    ///
    /// # Errors
    /// SIGXFSZ cannot be ignored.
    pub fn begin() -> io::Result<Self> {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler of ours is installed.
        let before = unsafe { sigaction(Signal::SIGXFSZ, &ignore) }?;
        DUMPING.store(true, Ordering::Release);
        Ok(Self { before })
    }
}

impl Drop for Failable {
    fn drop(&mut self) {
        DUMPING.store(false, Ordering::Release);
        // SAFETY: it was in force before.
        let _ = unsafe { sigaction(Signal::SIGXFSZ, &self.before) };
    }
}
