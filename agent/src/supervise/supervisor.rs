//! Supervises the tree: passes signals on, reaps, and says when it has ended.
//!
//! Signals that are not read stay pending: while a checkpoint is taken nothing is passed to a frozen tree.

use std::io;

use crate::base::signals::{Sent, Signals};
use crate::tree::process::reap::{Status, reap};

/// What a supervisor reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A signal that asks for a stop.
    Stop(i32),
    /// A signal for the application.
    Signal(i32),
    /// The tree's root has ended.
    Ended(Status),
}

/// Watches over one tree.
pub struct Supervisor {
    signals: Signals,
    root: i32,
    ended: Option<Status>,
}

impl Supervisor {
    /// For the tree of `root`, which is a child of this process.
    pub fn new(signals: Signals, root: i32) -> Self {
        Self { signals, root, ended: None }
    }

    /// Waits for the next event. Once the root has ended, that is the only one. Nothing is lost if this is dropped while
    /// it waits.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn next(&mut self) -> io::Result<Event> {
        loop {
            // Also without a SIGCHLD: one may have been read while only the root was waited for.
            self.ended = self.ended.or_else(|| reap(self.root));
            if let Some(status) = self.ended {
                return Ok(Event::Ended(status));
            }
            match self.signals.next().await? {
                Sent { number, asks_for_a_stop: true } => return Ok(Event::Stop(number)),
                Sent { number: libc::SIGCHLD, .. } => {}
                Sent { number, .. } => return Ok(Event::Signal(number)),
            }
        }
    }

    /// Passes a signal on, by way of the init. Any number is possible, real-time signals too.
    pub fn forward(&self, signal: i32) {
        // SAFETY: kill(2) takes two numbers. An error means that the root has ended, which `next` reports.
        unsafe { libc::kill(self.root, signal) };
    }
}
