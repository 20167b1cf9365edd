//! A process of crik's own that runs beside the application, and is ended when a checkpoint begins: nothing may hold that up.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use crate::base::limits;
use crate::base::panics::locked;
use crate::tree::process::hooks::close_on_exec;
use crate::tree::process::reap::Elsewhere;
use crate::tree::process::snapshot::Snapshot;

/// The one that runs, if it does.
static BESIDE: Mutex<Beside> = Mutex::new(Beside { pid: None, over: false });

struct Beside {
    pid: Option<i32>,
    /// Nothing more is begun.
    over: bool,
}

/// Runs `command` until it ends, and returns what it said; none if it took longer than `patience` or was ended by [`give_up`].
/// Blocks. Whatever it has started ends with it.
///
/// # Errors
/// It cannot be started.
pub fn run(command: &mut Command, patience: Duration) -> io::Result<Option<Output>> {
    let _waits = Elsewhere::begin();
    let Some(mut child) = begin(command)? else { return Ok(None) };
    let deadline = Instant::now() + patience;
    let mut given_up = false;
    loop {
        if let Some(status) = poll(&mut child)? {
            let said = said(&mut child);
            return Ok((!given_up).then_some(output(status, said)).filter(|_| !locked(&BESIDE).over));
        }
        if Instant::now() >= deadline && !given_up {
            given_up = true;
            end(child.id().cast_signed());
        }
        thread::sleep(limits::BESIDE_POLL);
    }
}

/// The same also after [`give_up`], for who sees to it that no checkpoint is under way as long as it is `wanted`; it is ended when that is
/// no longer so.
///
/// # Errors
/// It cannot be started.
pub fn run_while(
    command: &mut Command,
    patience: Duration,
    wanted: &dyn Fn() -> bool,
) -> io::Result<Option<Output>> {
    let _waits = Elsewhere::begin();
    let mut child = start(command, &mut locked(&BESIDE))?;
    let deadline = Instant::now() + patience;
    let mut given_up = false;
    loop {
        if let Some(status) = poll(&mut child)? {
            let said = said(&mut child);
            return Ok((!given_up && wanted()).then(|| output(status, said)));
        }
        if !given_up && (Instant::now() >= deadline || !wanted()) {
            given_up = true;
            end(child.id().cast_signed());
        }
        thread::sleep(limits::BESIDE_POLL);
    }
}

/// Ends what runs, and lets nothing more begin.
pub fn give_up() {
    let mut beside = locked(&BESIDE);
    beside.over = true;
    if let Some(pid) = beside.pid {
        end(pid);
    }
}

fn begin(command: &mut Command) -> io::Result<Option<Child>> {
    let mut beside = locked(&BESIDE);
    if beside.over {
        return Ok(None);
    }
    start(command, &mut beside).map(Some)
}

fn start(command: &mut Command, beside: &mut Beside) -> io::Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: sigprocmask(2) is async-signal-safe.
    unsafe {
        // The agent blocks all signals.
        command.pre_exec(|| Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?));
        command.pre_exec(close_on_exec);
    }
    let child = command.spawn()?;
    beside.pid = Some(child.id().cast_signed());
    Ok(child)
}

/// Under the lock, so that no other process can have the id that is signalled.
fn poll(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let mut beside = locked(&BESIDE);
    let status = child.try_wait()?;
    if status.is_some() {
        beside.pid = None;
    }
    Ok(status)
}

/// First what it has started, which would be ours afterwards and could not be told from the application's.
fn end(pid: i32) {
    let tree = Snapshot::take().tree(pid);
    tree.signal(Signal::SIGSTOP);
    Snapshot::take().tree(pid).signal(Signal::SIGKILL);
}

fn said(child: &mut Child) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        let _ = io::Read::read_to_end(&mut io::Read::take(pipe, limits::SMALL_FILE_MAX_BYTES), &mut said);
    }
    said
}

fn output(status: ExitStatus, stdout: Vec<u8>) -> Output {
    Output { status, stdout, stderr: Vec::new() }
}
