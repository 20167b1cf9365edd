//! Takes up what this program's file permits, where it does not run as root.
//!
//! To anybody but root Kubernetes gives the capabilities of a pod spec as a bound and no more, and a program has what its file has of
//! them (capabilities(7)): `crik` takes that up, and hands it on to CRIU. The file permits and does not demand (`=p`): the kernel
//! would refuse to start one that demands what the bound lacks, and with it an application that runs well without checkpoints.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::iter::successors;
use std::os::unix::ffi::OsStrExt as _;

use nix::sys::prctl::set_dumpable;
use nix::unistd::{geteuid, getppid};

use super::capabilities::{keep_over_exec, mask, set, status};
use super::snapshot::{self, program_file};

/// Takes up what this program's file permits. An application under an agent, which may start any program, gains nothing by starting
/// this one. To be called before there is a second thread.
pub fn take_up() {
    let status = status();
    let (permitted, inheritable) = (mask(&status, "CapPrm"), mask(&status, "CapInh"));
    if geteuid().is_root() || permitted == 0 {
        return;
    }
    // /proc/self is root's where a program's file gives it rights. Whoever has fewer may not trace us all the same (ptrace(2)).
    let _ = set_dumpable(true);
    // Neither fails: it is permitted.
    let _ = set(permitted, permitted, inheritable);
    if is_of_a_tree() {
        let _ = set(0, 0, inheritable);
    }
}

/// Has the program that this one is about to become keep what this one has taken up.
///
/// # Errors
/// The kernel refuses.
pub fn hand_on() -> io::Result<()> {
    let permitted = mask(&status(), "CapPrm");
    if geteuid().is_root() || permitted == 0 {
        return Ok(());
    }
    set(permitted, permitted, permitted)?;
    (0..u64::BITS).filter(|bit| permitted & (1 << bit) != 0).try_for_each(keep_over_exec)
}

/// Whether an agent has started a program that has led to this one.
#[must_use]
pub fn is_of_a_tree() -> bool {
    let parent = |pid: &i32| snapshot::read(*pid).map(|process| process.parent).filter(|parent| *parent != 0);
    let first = Some(getppid().as_raw()).filter(|parent| *parent != 0);
    let own = program_file(std::process::id().cast_signed());
    let above = successors(first, parent).map(|pid| program_file(pid) == own);
    // The agent starts itself anew to become CRIU.
    above.skip_while(|is_crik| *is_crik).any(|is_crik| is_crik)
}

/// Gives this program the environment back with which it was started: where its file gives it rights, the C library takes out of it what
/// would lead it elsewhere (ld.so(8), "Secure-execution mode"), such as `LD_LIBRARY_PATH`, `TMPDIR` and `MALLOC_ARENA_MAX`, and
/// that is for the application.
///
/// # Safety
/// The environment is changed, so no other thread may run yet.
pub unsafe fn give_back_environment() {
    // SAFETY: getauxval(3) takes a number.
    if unsafe { libc::getauxval(libc::AT_SECURE) } == 0 {
        return;
    }
    for (name, value) in variables(&fs::read("/proc/self/environ").unwrap_or_default()) {
        if env::var_os(&name).is_none() {
            // SAFETY: the caller's promise.
            unsafe { env::set_var(name, value) };
        }
    }
}

/// What the kernel was given at the exec (proc(5)). A word that is no variable stays out, as it would be of no use to anybody.
fn variables(text: &[u8]) -> Vec<(OsString, OsString)> {
    let owned = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let variable = |word: &[u8]| {
        let at = word.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        Some((owned(&word[..at]), owned(&word[at + 1..])))
    };
    text.split(|byte| *byte == 0).filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_the_kernel_keeps_them() {
        let read = variables(b"A=1\0EMPTY=\0=none\0word\0B=x=y\0");
        let expected =
            [("A", "1"), ("EMPTY", ""), ("B", "x=y")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(read, expected);
    }

    #[test]
    fn a_program_that_was_not_started_by_an_agent_is_of_no_tree() {
        // Whatever has started the tests is another program.
        assert!(!is_of_a_tree());
    }
}
