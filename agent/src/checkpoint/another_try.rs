//! Whether a checkpoint that failed is tried again, and what is done before.

use std::sync::Arc;

use anyhow::{Error, Result};
use crik_store::generation::commit::CommitError;
use crik_store::image_dir::ImageDirError;
use crik_store::image_dir::hold::HoldError;
use crik_store::image_dir::retention::{self, RoomError};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use crate::base::retry::{HasOutlook, Outlook, Retries};
use crate::base::whole_story::whole_story;
use crate::checkpoint::checkpointer::Checkpointer;
use crate::checkpoint::freeze::FreezeError;

impl Checkpointer {
    /// Waits a moment after a failure, if it is worth while to try again.
    ///
    /// # Errors
    /// The failure, if it is not.
    pub(super) async fn before_another(
        self: &Arc<Self>,
        retries: &mut Retries,
        error: Error,
        deadline: Instant,
    ) -> Result<()> {
        if self.made_room_after(&error, deadline).await {
            return Ok(());
        }
        let pause = retries.pause(outlook(&error), &whole_story(&error));
        let pause = pause.filter(|pause| Instant::now() + *pause < deadline);
        let Some(pause) = pause else { return Err(error) };
        self.make_way(deadline).await;
        sleep(pause).await;
        Ok(())
    }

    /// The place of a checkpoint that failed is needed again.
    async fn make_way(&self, deadline: Instant) {
        if let Some(cleaned) = self.clean_up() {
            let _ = timeout_at(deadline, cleaned).await;
        }
    }

    /// Whether a generation was given up because the volume has said that it is full. What it says counts, and not what it says
    /// to be free: quotas are not among that.
    pub(super) async fn made_room_after(self: &Arc<Self>, error: &Error, deadline: Instant) -> bool {
        if outlook(error) != Outlook::NoRoom {
            return false;
        }
        self.make_way(deadline).await;
        let Some(hold) = self.hold() else { return false };
        let this = Arc::clone(self);
        let step = spawn_blocking(move || {
            // Who waited for the volume may come too late.
            if Instant::now() >= deadline {
                return Ok::<_, ImageDirError>(false);
            }
            Ok(this.give_up_warmed(&hold)? || retention::give_up_oldest(&hold, this.past())?.is_some())
        });
        match timeout_at(deadline, step).await {
            Ok(Ok(Ok(true))) => {
                tracing::warn!("trying again: {}", whole_story(error));
                true
            }
            Ok(Ok(Err(error))) => {
                tracing::warn!("no older generation can be given up: {error}");
                false
            }
            _ => false,
        }
    }
}

/// What another try would bring. Each step has an error type of its own.
fn outlook(error: &Error) -> Outlook {
    fn of<E: HasOutlook + std::error::Error + Send + Sync + 'static>(error: &Error) -> Option<Outlook> {
        error.downcast_ref::<E>().map(HasOutlook::outlook)
    }
    let steps = [of::<FreezeError>, of::<CommitError>, of::<RoomError>, of::<HoldError>, of::<ImageDirError>];
    steps.iter().find_map(|of| of(error)).unwrap_or(Outlook::Lasting)
}
