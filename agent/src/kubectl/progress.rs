//! Tells a person what is being done: a line for each step that is done, and what is waited for where somebody watches.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the time is shown anew.
const TICK: Duration = Duration::from_millis(250);

/// What is told of something that takes several steps, to standard error.
pub struct Progress {
    shown: ProgressBar,
    began: Instant,
}

impl Progress {
    /// Begins.
    pub fn new() -> Self {
        let shown = ProgressBar::new_spinner();
        shown.set_style(
            ProgressStyle::with_template("{spinner} {elapsed} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        shown.enable_steady_tick(TICK);
        Self { shown, began: Instant::now() }
    }

    /// A step is done.
    pub fn done(&self, step: &str, what: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.shown.suspend(|| eprintln!("{seconds:6.1} s  {step:<10}  {what}"));
    }

    /// This is waited for.
    pub fn waits(&self, what: &str) {
        self.shown.set_message(what.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shown.finish_and_clear();
    }
}
