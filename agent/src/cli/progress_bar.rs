//! How far something is that takes a while.

use std::sync::Mutex;
use std::time::Instant;

use indicatif::{ProgressDrawTarget, ProgressStyle};

use crate::base::limits;
use crate::base::panics::locked;

/// Counts bytes, and shows them once it has taken long enough for a person to wonder.
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
    began: Instant,
    shown: Mutex<bool>,
}

impl ProgressBar {
    /// Of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let bar = indicatif::ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        let style =
            ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, began: Instant::now(), shown: Mutex::new(false) }
    }

    /// Counts some more.
    pub fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        let mut shown = locked(&self.shown);
        if !*shown && self.began.elapsed() >= limits::PROGRESS_AFTER {
            *shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Sets how many there are by now, of how many.
    pub fn set(&self, bytes: u64, of: u64) {
        self.bar.set_length(of.max(bytes));
        self.bar.set_position(bytes);
        self.add(0);
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
