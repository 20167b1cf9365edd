//! The terminal of a container with `tty: true`. Its other end is the runtime's and in no image, so the next pod's own takes its place, by
//! CRIU's name for it (`--external tty[DEVICE:FILESYSTEM]`). CRIU gives it the settings of the old one, but does not make it control the
//! session that had it, so that no key would interrupt anything: the session's leader is made to do that.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crik_store::generation::tree_facts::TerminalFacts;
use thiserror::Error;

use crate::tree::process::snapshot::{Tree, open_files};
use crate::tree::process::tracee;

/// The next pod has none.
#[derive(Debug, Error)]
#[error("the program is at a terminal, and this container has none; set tty: true as in the pod before")]
pub struct NoTerminal;

/// Whatever terminal a process has (tty(4)).
const OWN_TERMINAL: &str = "/dev/tty";

/// The terminal of this process's standard streams, if they lead to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    fd: RawFd,
    device: u64,
    file_system: u64,
}

impl Terminal {
    /// It.
    #[must_use]
    pub fn here() -> Option<Self> {
        [0, 1, 2].into_iter().find_map(|fd| {
            let meta = fs::metadata(format!("/proc/self/fd/{fd}")).ok()?;
            is_terminal(&meta).then(|| Self { fd, device: meta.rdev(), file_system: meta.dev() })
        })
    }

    /// How it is set now, to be given back after a restore that failed.
    #[must_use]
    pub fn settings(&self) -> Settings {
        // SAFETY: tcgetattr(3) and this ioctl(2) fill in structures of their own, for which zero is a value.
        unsafe {
            let (mut modes, mut size): (libc::termios, libc::winsize) =
                (std::mem::zeroed(), std::mem::zeroed());
            libc::tcgetattr(self.fd, &raw mut modes);
            libc::ioctl(self.fd, libc::TIOCGWINSZ, &raw mut size);
            Settings { fd: self.fd, modes, size }
        }
    }
}

/// How a terminal is set.
#[derive(Clone, Copy)]
pub struct Settings {
    fd: RawFd,
    modes: libc::termios,
    size: libc::winsize,
}

impl Settings {
    /// Gives it the size again that it had, if somebody has set one. The program is told.
    pub fn give_back_size(&self) {
        if self.size.ws_row > 0 {
            // SAFETY: the ioctl(2) reads a structure of its own.
            unsafe { libc::ioctl(self.fd, libc::TIOCSWINSZ, &raw const self.size) };
        }
    }

    /// Sets it as it was.
    pub fn give_back(&self) {
        // SAFETY: tcsetattr(3) reads a structure of its own.
        unsafe { libc::tcsetattr(self.fd, libc::TCSANOW, &raw const self.modes) };
        self.give_back_size();
    }
}

/// A pseudo-terminal's other side (the kernel's devices.txt).
fn is_terminal(meta: &Metadata) -> bool {
    (136..=143).contains(&libc::major(meta.rdev())) && meta.mode() & libc::S_IFMT == libc::S_IFCHR
}

/// The container's terminal, as `tree` has it; nothing without one. Whoever opened it as the terminal of its session has it by another name,
/// which may be that of a terminal of its own as well: then it is left to CRIU.
#[must_use]
pub fn of(tree: &Tree) -> TerminalFacts {
    let Some(terminal) = Terminal::here() else { return TerminalFacts::default() };
    let name = |device: u64, file_system: u64| format!("tty[{device:x}:{file_system:x}]");
    let ours = name(terminal.device, terminal.file_system);
    let by_session = fs::metadata(OWN_TERMINAL).ok().filter(|_| is_of_all_sessions(tree, terminal.device));
    let names = [ours].into_iter().chain(by_session.map(|meta| name(meta.rdev(), meta.dev()))).collect();
    let controlled = tree.0.iter().filter_map(|process| Controlled::of(process.pid));
    let controlled = controlled.into_iter().find(|one| one.device == terminal.device);
    TerminalFacts {
        names,
        session: controlled.map(|one| one.session),
        foreground: controlled.map(|one| one.foreground),
    }
}

/// Makes this container's terminal control the session of a restored tree that the one before did. Its processes stand still.
pub fn control(facts: &TerminalFacts) {
    let Some((session, foreground)) = facts.session.zip(facts.foreground) else { return };
    let outcome = descriptor(session).and_then(|fd| {
        tracee::while_stopped(session, |leader| {
            let ioctl = |request| [fd as u64, request];
            tracee::call(leader, libc::SYS_ioctl, [fd as u64, libc::TIOCSCTTY, 0, 0, 0])?;
            tracee::call_with(leader, libc::SYS_ioctl, ioctl(libc::TIOCSPGRP), &foreground.to_ne_bytes())
        })
    });
    if let Err(error) = outcome {
        tracing::warn!("the terminal's keys do not reach the program any more: {error}");
    }
}

/// By which a process has this container's terminal.
fn descriptor(pid: i32) -> io::Result<RawFd> {
    let device = Terminal::here().map(|terminal| terminal.device);
    let is_it = |fd: &RawFd| {
        fs::metadata(format!("/proc/{pid}/fd/{fd}"))
            .is_ok_and(|meta| is_terminal(&meta) && Some(meta.rdev()) == device)
    };
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let found = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it);
    found.ok_or_else(|| io::Error::other("the leader of its session has closed it"))
}

/// The terminal of a process's session (proc_pid_stat(5): `session`, `tty_nr`, `tpgid`).
#[derive(Debug, Clone, Copy)]
struct Controlled {
    session: i32,
    device: u64,
    foreground: i32,
}

impl Controlled {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let mut after_name = stat.rsplit_once(") ")?.1.split_whitespace().skip(3);
        let mut next = || after_name.next();
        let (session, device, foreground) =
            (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
        Some(Self { session, device, foreground })
    }
}

/// Whether whoever has its session's terminal open has this one.
fn is_of_all_sessions(tree: &Tree, device: u64) -> bool {
    let has_open = |pid: i32| open_files(pid).iter().any(|path| path == Path::new(OWN_TERMINAL));
    tree.0
        .iter()
        .filter(|process| has_open(process.pid))
        .all(|process| Controlled::of(process.pid).is_some_and(|one| one.device == device))
}

/// What takes the place of this terminal.
///
/// # Errors
/// There is one, and this container has none.
pub fn in_place_of(facts: &TerminalFacts) -> Result<Vec<(RawFd, String)>, NoTerminal> {
    if facts.names.is_empty() {
        return Ok(Vec::new());
    }
    let terminal = Terminal::here().ok_or(NoTerminal)?;
    Ok(facts.names.iter().map(|name| (terminal.fd, name.clone())).collect())
}

/// Gives the terminal up as that of this process's session, so that the program can have it for its own: only then can it be interrupted by
/// a key, and a shell in it have jobs. The kernel hangs up on who leads the session, which is then no news (tty_ioctl(4)). To be
/// called while nobody reads signals.
pub fn leave_to_program() {
    let Some(terminal) = Terminal::here() else { return };
    // SAFETY: signal(2) takes a number and a disposition, ioctl(2) a number; no handler is ours.
    unsafe {
        let [hang_up, go_on] =
            [libc::SIGHUP, libc::SIGCONT].map(|number| libc::signal(number, libc::SIG_IGN));
        libc::ioctl(terminal.fd, libc::TIOCNOTTY);
        libc::signal(libc::SIGHUP, hang_up);
        libc::signal(libc::SIGCONT, go_on);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_null_is_no_terminal_and_neither_is_a_file() {
        assert!(["/dev/null", "/etc/passwd"].iter().all(|path| !is_terminal(&fs::metadata(path).unwrap())));
    }

    #[test]
    fn what_a_terminal_controls_stands_behind_the_name() {
        let one = Controlled::parse("309 (a) b) S 300 309 309 34816 412 4194304 1\n").unwrap();
        assert_eq!((one.session, one.device, one.foreground), (309, 34816, 412));
        assert!(Controlled::parse("309 (cut) S 300").is_none());
    }

    #[test]
    fn without_a_terminal_none_is_asked_for() {
        assert!(in_place_of(&TerminalFacts::default()).unwrap().is_empty());
        if Terminal::here().is_none() {
            let some = TerminalFacts { names: vec!["tty[8800:6b]".to_owned()], ..TerminalFacts::default() };
            assert!(in_place_of(&some).is_err());
        }
    }
}
