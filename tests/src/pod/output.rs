//! What comes out of a container's standard streams, which are pipes as a kubelet's runtime has them.

use std::fs::File;
use std::io::{Read, pipe};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::wait::wait_for;

/// The reading end of one stream.
#[derive(Clone)]
pub struct Output(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    first: Option<Instant>,
    ended: bool,
}

impl Output {
    /// A pipe whose other end is for a container.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new() -> Result<(Self, Stdio)> {
        let (reader, writer) = pipe()?;
        let output = Self(Arc::default());
        output.clone().collect(reader);
        Ok((output, writer.into()))
    }

    /// All that comes from this terminal, instead of what comes from the pipe.
    pub fn of_terminal(shown: File) -> Self {
        let output = Self(Arc::default());
        output.clone().collect(shown);
        output
    }

    fn collect(self, mut from: impl Read + Send + 'static) {
        thread::spawn(move || {
            let mut buffer = [0; 64 << 10];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                self.update(|state| {
                    state.bytes.extend_from_slice(&buffer[..read]);
                    state.first = state.first.or_else(|| Some(Instant::now()));
                });
            }
            self.update(|state| state.ended = true);
        });
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that came so far.
    pub fn text(&self) -> String {
        self.update(|state| String::from_utf8_lossy(&state.bytes).into_owned())
    }

    /// When the first byte came.
    pub fn first_at(&self) -> Option<Instant> {
        self.update(|state| state.first)
    }

    /// Waits until `part` was written.
    ///
    /// # Errors
    /// It was not in time; the message has what was.
    pub fn wait_for(&self, part: &str) -> Result<()> {
        wait_for(&format!("{part:?}"), || self.text().contains(part).then_some(()))
            .map_err(|error| error.context(format!("this was written:\n{}", self.text())))
    }

    /// Waits until there are at least `count` whole lines.
    ///
    /// # Errors
    /// There are not in time, or all writers have gone.
    pub fn wait_for_lines(&self, count: usize) -> Result<()> {
        self.wait_for_lines_or_end(count)?;
        let came = self.lines();
        ensure!(came >= count, "{came} lines came where {count} were expected, and then the end");
        Ok(())
    }

    /// Waits until there are at least `count` whole lines or every writer has closed the pipe.
    ///
    /// # Errors
    /// Neither comes in time.
    pub fn wait_for_lines_or_end(&self, count: usize) -> Result<()> {
        let over = || self.lines() >= count || self.update(|state| state.ended);
        wait_for(&format!("{count} lines"), || over().then_some(()))
    }

    fn lines(&self) -> usize {
        self.update(|state| state.bytes.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Waits until every writer has closed the pipe.
    ///
    /// # Errors
    /// One holds it open.
    pub fn wait_for_end(&self) -> Result<()> {
        wait_for("a container's pipe to close", || self.update(|state| state.ended).then_some(()))
    }
}
