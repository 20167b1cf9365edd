//! Runs a command of the user's beside a checkpoint or a restore.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::config::{Hook, OnFailure};
use crate::tree::process::reap::Elsewhere;

/// A hook that did not do what it was there for.
#[derive(Debug, Error)]
pub enum HookError {
    /// It could not be started.
    #[error("hook {name}: cannot run {program}: {source}; is it in the container?")]
    Spawn {
        /// The hook's key.
        name: &'static str,
        /// The command's first word.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// It failed.
    #[error("hook {name}: {status}; its output is above")]
    Failed {
        /// The hook's key.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// It took too long and was killed.
    #[error("hook {name}: not done within {timeout:?} (hooks.{name}.timeout) and killed")]
    TimedOut {
        /// The hook's key.
        name: &'static str,
        /// What it was given.
        timeout: Duration,
    },
    /// Nobody waits for it any more, and it was killed.
    #[error("hook {0}: it was given up and killed")]
    GivenUp(&'static str),
}

/// Runs `hook`, if there is one, with `variables` in its environment, and waits for it. Blocks. A failure that is to be
/// ignored is told in the log.
///
/// # Errors
/// It failed, and its policy is `fail`; or it was given up, before it was run or while it ran.
pub fn run(
    name: &'static str,
    hook: Option<&Hook>,
    variables: &[(&str, String)],
    headway: &Headway,
) -> Result<(), HookError> {
    let Some(hook) = hook else { return Ok(()) };
    if headway.is_given_up() {
        return Err(HookError::GivenUp(name));
    }
    match attempt(name, hook, variables, headway) {
        Err(given_up @ HookError::GivenUp(_)) => Err(given_up),
        Err(error) if hook.on_failure == OnFailure::Ignore => {
            tracing::warn!(step = "hook", "{error}; ignored, see hooks.{name}.onFailure");
            Ok(())
        }
        other => other,
    }
}

fn attempt(
    name: &'static str,
    hook: &Hook,
    variables: &[(&str, String)],
    headway: &Headway,
) -> Result<(), HookError> {
    let program = hook.command.first().cloned().unwrap_or_default();
    let spawn = |source| HookError::Spawn { name, program: program.clone(), source };
    let _waits = Elsewhere::begin();
    let mut child = command(hook, variables).spawn().map_err(spawn)?;
    let leader = Pid::from_raw(child.id().cast_signed());
    let in_time = wait(leader, hook.timeout, headway).map_err(spawn)?;
    // What it started and left behind would hold process ids, and be taken for a part of the application. The id is the group's as
    // long as nobody has waited for the process that has it.
    let _ = killpg(leader, Signal::SIGKILL);
    let status = child.wait().map_err(spawn)?;
    match in_time {
        true if status.success() => Ok(()),
        true => Err(HookError::Failed { name, status }),
        false if headway.is_given_up() => Err(HookError::GivenUp(name)),
        false => Err(HookError::TimedOut { name, timeout: hook.timeout }),
    }
}

fn command(hook: &Hook, variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(hook.command.first().map_or("", String::as_str));
    command.args(hook.command.iter().skip(1)).process_group(0);
    command.env_remove(limits::CRIU_CONFIG_VARIABLE);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    // Standard output is the application's.
    command.stdin(Stdio::null()).stdout(standard_error()).stderr(Stdio::inherit());
    // SAFETY: sigprocmask(2) is async-signal-safe.
    unsafe {
        // The agent blocks all signals, and a command expects none to be.
        command.pre_exec(|| Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?));
        command.pre_exec(close_on_exec);
    }
    command
}

/// What CRIU is handed down is open meanwhile, its images and the volume among it, and is nobody else's.
pub(super) fn close_on_exec() -> io::Result<()> {
    // SAFETY: close_range(2) takes three numbers, and close-on-exec hurts nothing that runs.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn standard_error() -> Stdio {
    io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}

/// Waits until a process has ended, and leaves it for `wait` to take away. False if it is not done in time, or given up.
fn wait(child: Pid, timeout: Duration, headway: &Headway) -> io::Result<bool> {
    let deadline = Instant::now() + timeout;
    let seen = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        if waitid(Id::Pid(child), seen)? != WaitStatus::StillAlive {
            return Ok(true);
        }
        if Instant::now() >= deadline || headway.is_given_up() {
            return Ok(false);
        }
        thread::sleep(limits::HOOK_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, on_failure: OnFailure) -> Hook {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Hook { command, timeout: Duration::from_millis(300), on_failure }
    }

    fn told(script: &str) -> String {
        run("preCheckpoint", Some(&hook(script, OnFailure::Fail)), &[], &Headway::default())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_hook_sees_its_variables() {
        let wanted = hook("test \"$CRIK_GENERATION\" = 7", OnFailure::Fail);
        run("postRestore", Some(&wanted), &[("CRIK_GENERATION", "7".to_owned())], &Headway::default())
            .unwrap();
    }

    #[test]
    fn a_hook_inherits_no_descriptor() {
        let open = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: the number is free in a test.
        assert!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&open), 180) } == 180);
        let wanted = hook("! test -e /proc/self/fd/180", OnFailure::Fail);
        run("postRestore", Some(&wanted), &[], &Headway::default()).unwrap();
        // SAFETY: it was opened above.
        unsafe { libc::close(180) };
    }

    #[test]
    fn each_failure_is_named() {
        assert!(told("exit 3").contains("exit status: 3"));
        assert!(told("sleep 100").contains("not done within 300ms (hooks.preCheckpoint.timeout)"));
        let missing = Hook { command: vec!["no-such".to_owned()], ..hook("", OnFailure::Fail) };
        let error = run("preCheckpoint", Some(&missing), &[], &Headway::default()).unwrap_err().to_string();
        assert!(error.contains("cannot run no-such"), "{error}");
    }

    #[test]
    fn a_failure_may_be_ignored() {
        run("preCheckpoint", Some(&hook("exit 3", OnFailure::Ignore)), &[], &Headway::default()).unwrap();
        run("preCheckpoint", None, &[], &Headway::default()).unwrap();
    }

    #[test]
    fn what_was_given_up_is_not_run_or_no_longer() {
        let headway = Headway::default();
        let slow = Hook { timeout: Duration::from_secs(60), ..hook("sleep 60", OnFailure::Ignore) };
        thread::scope(|scope| {
            let running = scope.spawn(|| run("preCheckpoint", Some(&slow), &[], &headway));
            headway.give_up();
            assert!(matches!(running.join().unwrap(), Err(HookError::GivenUp(_))));
        });
        let dir = tempfile::tempdir().unwrap();
        let ran = dir.path().join("ran");
        let late = hook(&format!("touch {}", ran.display()), OnFailure::Ignore);
        assert!(run("preCheckpoint", Some(&late), &[], &headway).is_err() && !ran.exists());
    }

    #[test]
    fn nothing_is_left_behind() {
        let marker = tempfile::NamedTempFile::new().unwrap();
        let path = marker.path().display();
        run(
            "preCheckpoint",
            Some(&hook(&format!("sleep 60 & echo $! > {path}"), OnFailure::Fail)),
            &[],
            &Headway::default(),
        )
        .unwrap();
        let pid = std::fs::read_to_string(marker.path()).unwrap();
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        while !gone() {
            thread::yield_now();
        }
    }
}
