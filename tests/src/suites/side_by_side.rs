//! Runs suites side by side.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::running::Running;
use super::{Ended, Queue, Suite};

/// So many at a time. Each runs as many tests at once as there are processors, most of which wait most of the time.
const TOGETHER: usize = 2;

/// Runs all, and tells each when it has ended. A SIGTERM or SIGINT is passed on to those that run, and none begins after it.
///
/// # Errors
/// One cannot be run, or told.
pub fn run(suites: Vec<Suite>) -> Result<Vec<Ended>> {
    // Before any thread exists, so that no thread takes them.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    let all = Arc::new(SideBySide::new(suites));
    let interrupted = Arc::clone(&all);
    thread::spawn(move || signals.wait().map(|signal| interrupted.stop(signal)));
    all.work_together()
}

struct SideBySide {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: Queue,
    running: Vec<(String, Pid)>,
    stopped: bool,
}

impl SideBySide {
    fn new(suites: Vec<Suite>) -> Self {
        let state = State { queue: Queue::new(suites), running: Vec::new(), stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_together(&self) -> Result<Vec<Ended>> {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..TOGETHER).map(|_| scope.spawn(|| self.work())).collect();
            let all = workers.into_iter().map(|worker| worker.join().ok().context("a worker panicked")?);
            Ok(all.collect::<Result<Vec<_>>>()?.concat())
        })
    }

    /// One after the other, until none is left.
    fn work(&self) -> Result<Vec<Ended>> {
        let mut ended = Vec::new();
        while let Some(running) = self.begin()? {
            // As long as it is not reaped nobody else has its number, so that no signal reaches another.
            running.wait()?;
            self.state().running.retain(|(_, pid)| *pid != running.pid());
            self.changed.notify_all();
            ended.push(running.end()?);
        }
        Ok(ended)
    }

    /// Begins the next that may be beside those that run, once there is one.
    fn begin(&self) -> Result<Option<Running>> {
        let mut state = self.state();
        while !state.stopped && !state.queue.is_empty() {
            let State { queue, running, .. } = &mut *state;
            if let Some(suite) = queue.next(running.iter().map(|(name, _)| name.as_str())) {
                // While nobody else has the state, so that a signal reaches it.
                let begun = Running::begin(&suite)?;
                running.push((suite.name, begun.pid()));
                return Ok(Some(begun));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(None)
    }

    fn stop(&self, signal: Signal) {
        let mut state = self.state();
        state.stopped = true;
        for (_, pid) in &state.running {
            let _ = kill(*pid, signal);
        }
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::wait::wait_for;

    const GOOD: &str = "echo 'test result: ok. 1 passed; 0 failed'";

    /// A suite that is a script; `$0.begun` is there once it runs.
    fn suite(directory: &Path, name: &str, script: &str) -> Suite {
        use std::os::unix::fs::PermissionsExt as _;
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\n: > $0.begun\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Suite::of(name, &path)
    }

    fn begun(directory: &Path, name: &str) -> PathBuf {
        directory.join(name).with_extension("begun")
    }

    #[test]
    fn two_run_at_the_same_time_and_all_are_run_whatever_fails() {
        let directory = tempfile::tempdir().unwrap();
        let meet = |other: &str| {
            let met = format!("[ -e ${{0%/*}}/{other}.begun ]");
            format!("for _ in $(seq 6000); do {met} && break; sleep 0.01; done; {met} && {GOOD}")
        };
        let fails =
            "printf '\\nfailures:\\n    it_holds\\n\\ntest result: FAILED. 0 passed; 1 failed\\n'; exit 101";
        let scripts = [("a", meet("b")), ("b", meet("a")), ("c", fails.to_owned()), ("d", GOOD.to_owned())];
        let suites = scripts.iter().map(|(name, script)| suite(directory.path(), name, script)).collect();
        let mut ended = SideBySide::new(suites).work_together().unwrap();
        ended.sort_by(|one, other| one.name.cmp(&other.name));
        let told: Vec<_> = ended.iter().map(|ended| (&ended.name[..], ended.outcome.is_good())).collect();
        assert_eq!(told, [("a", true), ("b", true), ("c", false), ("d", true)]);
    }

    #[test]
    fn a_signal_ends_those_that_run_and_none_begins_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let suites = ["a", "b", "c"].map(|name| suite(directory.path(), name, "exec sleep 1000")).into();
        let all = SideBySide::new(suites);
        let ended = thread::scope(|scope| {
            let work = scope.spawn(|| {
                // As `run` has it.
                SigSet::from(Signal::SIGTERM).thread_block().unwrap();
                all.work_together()
            });
            let both = ["a", "b"].map(|name| begun(directory.path(), name));
            wait_for("both to run", || both.iter().all(|path| path.exists()).then_some(())).unwrap();
            all.stop(Signal::SIGTERM);
            work.join().unwrap().unwrap()
        });
        let broken: Vec<_> = ended.iter().map(|ended| ended.outcome.broken.as_deref().unwrap()).collect();
        assert!(broken.len() == 2 && broken.iter().all(|why| why.contains("signal: 15")), "{broken:?}");
        assert!(!begun(directory.path(), "c").exists());
    }
}
