//! Lets the application prepare for a checkpoint, and tells it when it may go on as before.

use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Result, ensure};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::base::headway::Headway;
use crate::base::panics::locked;
use crate::checkpoint::deadlines::{Deadlines, until};
use crate::config::Hook;
use crate::tree::process::{beside, hooks};
use crate::workload::Workload;

/// Held while one of the two hooks runs: they never overlap.
pub type Turn = Arc<Mutex<()>>;

/// The application has been asked to prepare. When this is dropped it goes on, and the counterpart is run beside it.
pub struct Quiet {
    post_checkpoint: Option<Hook>,
    turn: Turn,
}

impl Quiet {
    /// Runs `preCheckpoint`: once, however often the checkpoint is tried then.
    ///
    /// # Errors
    /// It failed and must not, or there is no time left. If it was run, its counterpart is too.
    pub async fn begin(workload: &Arc<Workload>, turn: &Turn, deadlines: &Deadlines) -> Result<Self> {
        // A hook may quiesce the application, which nothing then follows.
        ensure!(Instant::now() < deadlines.frozen, "the time for a checkpoint was over before it began");
        let post_checkpoint = workload.config.hooks.post_checkpoint.clone();
        let quiet = Self { post_checkpoint, turn: Arc::clone(turn) };
        let (workload, turn, headway) = (Arc::clone(workload), Arc::clone(turn), Arc::<Headway>::default());
        let asked = Arc::clone(&headway);
        let step = spawn_blocking(move || {
            beside::give_up();
            let _turn = locked(&turn);
            Ok(hooks::run("preCheckpoint", workload.config.hooks.pre_checkpoint.as_ref(), &[], &asked)?)
        });
        until(step, deadlines.until_frozen(), &headway).await?;
        Ok(quiet)
    }

    /// The application does not go on here.
    pub fn ends(mut self) {
        self.post_checkpoint = None;
    }
}

impl Drop for Quiet {
    /// In a thread of its own, since nobody waits for it: what follows a checkpoint that failed is the SIGTERM.
    fn drop(&mut self) {
        let (Some(hook), turn) = (self.post_checkpoint.take(), Arc::clone(&self.turn)) else { return };
        thread::spawn(move || {
            let _turn = locked(&turn);
            // Its failure is told, and means nothing.
            let _ = hooks::run("postCheckpoint", Some(&hook), &[], &Headway::default());
        });
    }
}
