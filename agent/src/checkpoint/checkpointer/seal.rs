//! Makes an image durable, and removes one that did not become it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use crik_store::generation::commit;
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::layout;
use crik_store::image_dir::staging::{Purpose, Staging};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::Checkpointer;
use super::under_way::UnderWay;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::checkpoint::deadlines::{Deadlines, until};
use crate::checkpoint::forecast::{self, Sealing};
use crate::checkpoint::freeze::Staged;
use crate::checkpoint::log_lines::tell_committed;
use crate::checkpoint::manifest_of::manifest_of;
use crate::tree::criu;

impl Checkpointer {
    /// Says whether a checkpoint that is being made durable beside the application is to be finished before another one is begun,
    /// which must be done by `deadline`: how long that takes.
    pub fn finish_first(&self, deadline: Instant) -> Option<Duration> {
        let under_way = locked(&self.under_way);
        let UnderWay { dumped, since, headway } = under_way.as_ref()?;
        let (dumped, elapsed) = (*dumped, since.elapsed());
        let sealing = Sealing { dumped, elapsed, moved: headway.moved(), left: headway.left() };
        forecast::finish_first(&sealing, deadline.saturating_duration_since(Instant::now()))
    }

    /// Commits what was staged; of a trial it only makes it durable.
    pub(super) async fn commit(
        self: &Arc<Self>,
        staging: &Staging,
        staged: Staged,
        deadlines: &Deadlines,
        headway: &Arc<Headway>,
    ) -> Result<Manifest> {
        let clock = Instant::now();
        let (this, place, asked) = (Arc::clone(self), staging.clone(), Arc::clone(headway));
        let step = spawn_blocking(move || -> Result<_> {
            let _inside = place.enter();
            let (generation, purpose) = (place.hold().dir().next()?, place.purpose());
            let (streams, staged) = (staged.streams, Staged { streams: None, ..staged });
            let manifest = manifest_of(&this.workload, &this.running, generation, purpose, staged)?;
            let key = this.workload.keys.signing.as_ref();
            Ok(match purpose {
                Purpose::Trial => commit::make_durable(&place, (manifest, streams), key, &asked)?.0,
                _ => commit::commit(&place, (manifest, streams), key, &asked)?,
            })
        });
        let committed = until(step, deadlines.until_durable(), headway).await?;
        if staging.purpose() != Purpose::Trial {
            tell_committed(&committed, clock.elapsed());
        }
        Ok(committed)
    }

    /// Saves CRIU's log and removes what is left of a failed checkpoint, once nobody works there any more.
    pub fn clean_up(&self) -> Option<JoinHandle<()>> {
        let staging = locked(&self.staging).take()?;
        Some(spawn_blocking(move || {
            let _inside = staging.enter();
            if let Ok(log) = criu::last_log()
                && staging.path().join(layout::IMAGES).exists()
            {
                staging.keep_log(limits::DUMP_LOG, &log);
            }
            if let Err(error) = staging.sweep() {
                tracing::warn!("the staging directory is left behind: {error}");
            }
        }))
    }
}
