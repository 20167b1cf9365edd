//! Dumps and restores a tree of two small processes on the volume: what stands in the way here that nobody has thought of is said
//! now. It is done by a process of its own, which is ended when a checkpoint begins, and of which nothing stays behind.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use nix::sys::wait::wait;
use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::tree::criu::{self, Connections, CriuError, Dump, Leave, Namespaces, Restore};
use crate::tree::process::beside;
use crate::tree::process::snapshot::Snapshot;
use nix::sys::signal::Signal;

/// The subcommand that does it.
pub const SUBCOMMAND: &str = "trial";

/// What the second of the two processes is started as.
const SLEEPER: &str = "crik-trial";

/// Why there is no trial, or what came of it.
#[derive(Debug, Error)]
enum TrialError {
    /// The two processes cannot be started.
    #[error("two small processes cannot be started: {0}")]
    Start(io::Error),
    /// CRIU did not dump them.
    #[error("a trial dump of two small processes failed: {0}")]
    Dump(CriuError),
    /// CRIU did not restore them.
    #[error("two small processes were dumped for a trial and cannot be restored: {0}")]
    Restore(CriuError),
}

/// Has it done in `directory`, and returns what stands in the way, if anything does. Blocks.
pub fn run(directory: &Path, init: &Path) -> Option<String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(SUBCOMMAND).arg(directory).arg(init);
    match beside::run(&mut command, limits::TRIAL_PATIENCE) {
        Ok(Some(output)) if output.status.success() => None,
        Ok(Some(output)) => {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Some(if said.is_empty() { format!("the trial ended with {}", output.status) } else { said })
        }
        Ok(None) => None,
        Err(error) => Some(TrialError::Start(error).to_string()),
    }
}

/// What the process of its own does. Returns its exit code; what stands in the way it prints.
pub fn main(directory: &Path, init: &Path) -> i32 {
    // SAFETY: no other thread runs.
    unsafe { criu::prepare_environment() };
    let tried =
        prepare(directory).map_err(TrialError::Start).and_then(|()| dump_and_restore(directory, init));
    end_children();
    match tried {
        Ok(()) => 0,
        Err(error) => {
            println!("{error}");
            1
        }
    }
}

/// Becomes the second of the two processes, if that is what this program was started for.
pub fn become_sleeper() {
    while std::env::args_os().next().is_some_and(|name| name == SLEEPER) {
        thread::park();
    }
}

fn prepare(directory: &Path) -> io::Result<()> {
    // What the init leaves behind comes to us.
    nix::sys::prctl::set_child_subreaper(true)?;
    ["criu", "work"].iter().try_for_each(|name| fs::create_dir(directory.join(name)))
}

fn dump_and_restore(directory: &Path, init: &Path) -> Result<(), TrialError> {
    let [images, work] = ["criu", "work"].map(|name| directory.join(name));
    let root = start(init).map_err(TrialError::Start)?;
    let headway = Arc::new(Headway::default());
    let connections = Connections::Close;
    let what = Dump {
        root,
        images: &images,
        leave: Leave::Stopped,
        external: &[],
        connections,
        headway: &headway,
        pages: None,
    };
    criu::dump(&what, Box::new(|_| Ok(()))).map_err(TrialError::Dump)?;
    end_children();
    let what = Restore {
        images: &images,
        work: &work,
        inherited: &[],
        namespaces: Namespaces::OWN,
        connections: Connections::Close,
        headway: &headway,
        pages: None,
    };
    criu::restore(&what, Box::new(|_| Ok(()))).map_err(TrialError::Restore)
}

/// The init and, below it, this program.
fn start(init: &Path) -> io::Result<i32> {
    let child = Command::new(init)
        .arg(std::env::current_exe()?)
        .arg(SLEEPER)
        .env_remove(limits::CRIU_CONFIG_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let root = child.id().cast_signed();
    let patience = Instant::now() + limits::START_PATIENCE;
    while !is_begun(root) {
        if Instant::now() > patience {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        thread::sleep(limits::BESIDE_POLL);
    }
    Ok(root)
}

/// Both are there, and the second has become this program.
fn is_begun(root: i32) -> bool {
    let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = program(std::process::id().cast_signed());
    let tree = Snapshot::take().tree(root);
    tree.0.iter().any(|process| process.pid != root && own.is_some() && program(process.pid) == own)
}

fn end_children() {
    let own = std::process::id().cast_signed();
    loop {
        Snapshot::take().children(own).for_each(|child| {
            Snapshot::take().tree(child.pid).signal(Signal::SIGKILL);
        });
        if wait().is_err() {
            return;
        }
    }
}
