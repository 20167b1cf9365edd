//! Before a tree is frozen: an image directory, room in it, and a chance to be done in time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use crik_store::image_dir::ImageDir;
use crik_store::image_dir::hold::{Hold, Wish};
use crik_store::image_dir::retention::{self, Past};
use crik_store::image_dir::staging::{Purpose, Staging};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Checkpointer;
use crate::base::fault_points::{Point, reach};
use crate::base::headway::Headway;
use crate::base::panics::locked;
use crate::base::private_directory::PrivateDirectory;
use crate::base::units;
use crate::carry::files::Carrying;
use crate::checkpoint::deadlines::{Deadlines, until};
use crate::checkpoint::{forecast, volume_speed};

/// What is known before the freeze.
pub(super) struct Prepared {
    /// Where the image goes.
    pub staging: Staging,
    /// About how many the image will have.
    pub bytes: u64,
    /// What goes along of the container's files, as far as it was seen.
    pub carrying: Arc<Carrying>,
}

impl Checkpointer {
    /// Makes sure that there is an image directory, room, and a chance.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        purpose: Purpose,
        deadlines: &Deadlines,
        headway: &Arc<Headway>,
    ) -> Result<Prepared> {
        let (this, deadline, asked) = (Arc::clone(self), deadlines.frozen, Arc::clone(headway));
        let step = spawn_blocking(move || {
            let hold = this.take_hold()?;
            let carrying = Arc::new(this.carrying()?);
            let carried = carrying.look()?;
            let bytes = this.memory().saturating_add(carried);
            this.kept.make_way(&hold, bytes, purpose);
            if purpose == Purpose::Trial {
                retention::lacking(&hold, bytes, Past::Fresh(None))?.map_or(Ok(()), Err)?;
                this.has_room_here(bytes)?;
            } else {
                if retention::is_short(&hold, bytes)? {
                    this.give_up_warmed(&hold)?;
                }
                retention::make_room(&hold, bytes, this.past(), &asked)?;
            }
            reach(Point::RoomMade);
            this.has_a_chance(&hold, bytes, deadline)?;
            Ok(Prepared { staging: Staging::new(&hold, purpose), bytes, carrying })
        });
        until(step, deadlines.until_frozen(), headway).await
    }

    /// What is never committed to a bucket is kept beside the program.
    fn has_room_here(&self, bytes: u64) -> Result<()> {
        if self.workload.config.volume().is_some() {
            return Ok(());
        }
        let place = PrivateDirectory::place();
        let free = retention::free(place)?;
        ensure!(
            free > bytes,
            "a trial of a program whose checkpoints go to a bucket is kept in {}, where {} are free and {} are needed; mount an \
             emptyDir there, or do without a trial",
            place.display(),
            units::bytes(free),
            units::bytes(bytes)
        );
        Ok(())
    }

    /// A start may have failed to take the image directory for a reason that has passed.
    fn take_hold(&self) -> Result<Arc<Hold>> {
        if let Some(hold) = self.hold() {
            return Ok(hold);
        }
        let config = &self.workload.config;
        let path = config.image_dir.as_deref().ok_or_else(|| anyhow!("no imageDir is configured"))?;
        ensure!(
            !self.running.beside_another,
            "another pod went on with the work when this one was started, and its checkpoints are the ones that count (onClaimed: fresh)"
        );
        let wish = Wish { pod: self.workload.pod.clone(), expiry: config.claim_expiry, expired: None };
        let hold = Hold::take(&ImageDir::open(path)?, &wish)?;
        hold.has_not_seen();
        hold.mend_end()?;
        *locked(&self.hold) = Some(Arc::clone(&hold));
        Ok(hold)
    }

    /// What is known of the volume's speed may be old, and of a moment when many pods started: if it is too slow by that, it is
    /// measured again. How much of the memory a checkpoint in chunks has to write is not known before.
    fn has_a_chance(&self, hold: &Hold, bytes: u64, deadline: Instant) -> Result<()> {
        let known = self.speed().filter(|_| !self.keeps_chunks());
        let Some(speed) = known.filter(|speed| is_hopeless(bytes, *speed, deadline).is_some()) else {
            return Ok(());
        };
        // A volume that cannot be measured may take it all the same.
        let Ok(speed) = volume_speed::measure_again(hold, speed) else { return Ok(()) };
        self.learn_speed(Some(speed));
        match is_hopeless(bytes, speed, deadline) {
            None => Ok(()),
            Some((needed, left)) => Err(anyhow!(
                "{} at {}/s would take {needed:.0?} and {left:.0?} are left; raise gracePeriod or use a faster volume",
                units::bytes(bytes),
                units::bytes(speed as u64)
            )),
        }
    }
}

/// How long it would take and how long there is, if that is far too little.
fn is_hopeless(bytes: u64, speed: f64, deadline: Instant) -> Option<(Duration, Duration)> {
    let left = deadline.saturating_duration_since(Instant::now());
    Some((forecast::hopeless_from_the_start(bytes, speed, left)?, left))
}
