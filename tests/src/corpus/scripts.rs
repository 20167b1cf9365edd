//! Uses a program from outside, as a probe or a person does.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::workload::Workload;
use crate::pod::Running;
use crate::wait::wait_for;

/// How long something that was restored may take until it can be used: it connects again, and its caches are cold.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Seconds after which a script is ended that gets no answer.
const PATIENT: &str = "20";

/// A program that runs.
pub(super) struct Used<'a> {
    workload: &'a Workload,
    running: &'a Running,
}

impl<'a> Used<'a> {
    pub(super) fn new(workload: &'a Workload, running: &'a Running) -> Self {
        Self { workload, running }
    }

    /// Waits until it can be used.
    pub(super) fn is_ready(&self) -> Result<()> {
        let mut told = String::new();
        wait_for("the program to be ready", || self.run(&self.workload.scripts.ready, &mut told))
            .with_context(|| format!("it is not ready: {told}\n{}", self.running.state()))
            .map(drop)
    }

    /// Puts state in.
    pub(super) fn put(&self) -> Result<()> {
        let mut told = String::new();
        let put = self.run(&self.workload.scripts.put, &mut told);
        ensure!(put.is_some(), "no state could be put in: {told}\n{}", self.running.state());
        Ok(())
    }

    /// Waits until it has its state.
    pub(super) fn has_its_state(&self) -> Result<()> {
        let mut told = String::new();
        soon(|| self.run(&self.workload.scripts.check, &mut told))
            .with_context(|| {
                format!("its state is not there: {}\n{told}\n{}", last(&told), self.running.state())
            })
            .map(drop)
    }

    /// Waits until its count has grown twice, and was never below `least`; returns it.
    pub(super) fn counts_on_from(&self, least: i64) -> Result<i64> {
        let mut counted = Vec::new();
        for _ in 0..3 {
            let last = counted.last().copied();
            let next = soon(|| match self.count() {
                // A number that is too small is an answer, and a wrong one.
                Ok(number) if number < least => Some(Err(number)),
                Ok(number) if last.is_none_or(|last| number > last) => Some(Ok(number)),
                _ => None,
            });
            match next.with_context(|| self.stuck(&counted))? {
                Ok(number) => counted.push(number),
                Err(number) => bail!("it counted to {least}, and is at {number}\n{}", self.running.state()),
            }
        }
        counted.pop().context("no count")
    }

    /// Starts what keeps it busy.
    pub(super) fn is_loaded(&self) -> Result<()> {
        self.workload.scripts.load.as_ref().map_or(Ok(()), |load| self.running.exec_on(&["sh", "-c", load]))
    }

    fn count(&self) -> Result<i64> {
        let (code, stdout, stderr) =
            self.running.exec(&["timeout", PATIENT, "sh", "-c", &self.workload.scripts.count])?;
        ensure!(code == Some(0), "{stdout}{stderr}");
        stdout.trim().parse().with_context(|| format!("no number: {stdout:?} {stderr}"))
    }

    fn stuck(&self, counted: &[i64]) -> String {
        let now = self.count();
        format!("it stands still\nit counted {counted:?}, then {now:?}\n{}", self.running.state())
    }

    /// `Some` if the script succeeds; what it said otherwise is in `told`.
    fn run(&self, script: &str, told: &mut String) -> Option<String> {
        match self.running.exec(&["timeout", PATIENT, "sh", "-c", script]) {
            Ok((Some(0), stdout, _)) => Some(stdout),
            Ok((_, stdout, stderr)) => {
                *told = stdout + &stderr;
                None
            }
            Err(error) => {
                *told = format!("{error:#}");
                None
            }
        }
    }
}

/// Of a traceback, or of what a shell has written, the line that says most.
fn last(told: &str) -> &str {
    told.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing was said")
}

fn soon<T>(mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        ensure!(Instant::now() < deadline, "not within {ANSWERS_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
