//! Freezes the tree, and gives up what would take too long.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use crik_store::generation::streams::Proven;
use crik_store::image_dir::staging::Purpose;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Checkpointer;
use super::room::Prepared;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::carry::files::Carrying;
use crate::checkpoint::deadlines::{Deadlines, until};
use crate::checkpoint::dump_progress::{Until, watch};
use crate::checkpoint::freeze::{self, Staged, Stopped, Streaming};
use crate::checkpoint::log_lines::{tell_frozen, tell_helpless};
use crate::tree::criu::Leave;

impl Checkpointer {
    /// Dumps the tree into its staging directory.
    pub(super) async fn freeze(
        self: &Arc<Self>,
        prepared: Prepared,
        deadlines: &Deadlines,
        headway: &Arc<Headway>,
    ) -> Result<(Stopped, Staged)> {
        let clock = Instant::now();
        let Prepared { staging, bytes: expected, carrying } = prepared;
        let leave = leave(staging.purpose());
        let (place, request) = (staging.clone(), self.request(staging.purpose(), carrying, headway));
        let streamed =
            request.streaming.as_ref().map(|streaming| Arc::clone(&streaming.came)).unwrap_or_default();
        let standing = Arc::clone(&request.standing);
        let step = spawn_blocking(move || {
            let _inside = place.enter();
            Ok(freeze::freeze(&place, &request)?)
        });
        let limit = self.limit(leave, deadlines);
        let hopeless = async {
            tokio::select! {
                reason = watch((staging.path(), streamed), expected, limit, &self.progress) => reason,
                reason = deadlines.until_hurry() => reason,
            }
        };
        let frozen = until(step, hopeless, headway).await;
        if let (Err(_), Some(stopped)) = (&frozen, locked(&standing).take()) {
            stopped.let_go(self.running.root);
        }
        if leave == Leave::Running {
            self.note_pause(expected, clock.elapsed(), frozen.is_ok(), headway);
        }
        let frozen = frozen?;
        tell_frozen(&frozen.1, clock.elapsed());
        tell_helpless(&frozen.1.clocks);
        Ok(frozen)
    }

    /// Until when a dump may go on.
    fn limit(&self, leave: Leave, deadlines: &Deadlines) -> Until {
        let whole = if self.keeps_chunks() { None } else { self.speed() };
        let pause = Instant::now() + self.workload.config.max_pause;
        match leave {
            // The commit has to be done by then too.
            Leave::Stopped => Until { at: deadlines.frozen, key: "gracePeriod", whole },
            Leave::Running if pause < deadlines.frozen => Until { at: pause, key: "maxPause", whole: None },
            Leave::Running => Until { at: deadlines.frozen, key: "gracePeriod", whole: None },
        }
    }

    /// Learns how fast a dump was, also of one that was given up; of another failure nothing is learned.
    fn note_pause(&self, expected: u64, took: Duration, done: bool, headway: &Headway) {
        let written = if done { expected } else { self.progress.borrow().written };
        let was_long = took > self.workload.config.max_pause / limits::PAUSE_SHARE;
        if done || headway.is_given_up() && was_long {
            locked(&self.pauses).note(written, expected, took);
        }
    }

    /// The generations of which chunks are not stored again.
    pub(super) fn proven(&self) -> Proven {
        Proven { resumed: self.running.resumed, own: self.first.get().copied(), ..Proven::default() }
    }

    /// None if memory is to be kept as CRIU writes it. A trial is resumed where there is nothing else of the image directory.
    fn streaming(&self, purpose: Purpose) -> Option<Streaming> {
        let is_wanted = purpose != Purpose::Trial && self.keeps_chunks();
        let (keys, volume) = (self.workload.keys.clone(), *locked(&self.volume));
        let proven = Proven { warmed: self.warm_up.warmed(), ..self.proven() };
        is_wanted.then(|| Streaming { keys, proven, volume, came: Arc::default() })
    }

    fn request(
        &self,
        purpose: Purpose,
        carrying: Arc<Carrying>,
        headway: &Arc<Headway>,
    ) -> freeze::FreezeRequest {
        freeze::FreezeRequest {
            root: self.running.root,
            init: self.running.init.clone(),
            library: self.running.library.clone(),
            strays: self.running.strays.clone(),
            unix_connections: self.workload.config.unix_connections,
            loopback_connections: self.workload.config.loopback_connections,
            inotify_incompatible_paths: self.workload.config.inotify_incompatible_paths.clone(),
            carrying,
            streaming: self.streaming(purpose),
            leave: leave(purpose),
            headway: Arc::clone(headway),
            standing: Arc::default(),
        }
    }
}

fn leave(purpose: Purpose) -> Leave {
    if purpose == Purpose::Stop { Leave::Stopped } else { Leave::Running }
}
