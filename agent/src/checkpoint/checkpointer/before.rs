//! Before a checkpoint is wanted: what the tree has in memory is stored, if checkpoints are kept in a way that can use it.

use std::io;
use std::thread;
use std::time::Instant;

use crik_store::image_dir::ImageDirError;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::retention;

use super::Checkpointer;
use crate::base::limits;
use crate::base::panics::locked;
use crate::checkpoint::warm_up::{Stored, Storing};
use crate::config::Format;
use crate::tree::process::snapshot::Snapshot;

impl Checkpointer {
    /// Whether what is stored beforehand would be of use; none as long as that is not known.
    pub fn can_warm_up(&self) -> Option<bool> {
        let is_known = self.workload.config.format() != Format::Auto || locked(&self.volume).is_some();
        is_known.then(|| self.keeps_chunks() && self.hold().is_some())
    }

    /// Stores what the tree has in memory. Blocks. None if a checkpoint came before it was done.
    ///
    /// # Errors
    /// The volume cannot be written, or has no room for a checkpoint besides.
    pub fn warm_up(&self) -> io::Result<Option<Stored>> {
        let Some(hold) = self.hold() else { return Ok(None) };
        let tree = Snapshot::take().tree(self.running.root);
        let all = tree.bytes_to_dump();
        let part = limits::WARM_UP_PART_BYTES.max(all / limits::WARM_UP_PARTS);
        let has_room = || has_room_besides(&hold, all + part);
        let storing = Storing {
            hold: &hold,
            keys: &self.workload.keys,
            proven: self.proven(),
            volume: *locked(&self.volume),
            rate: self.workload.config.warm_up_rate,
            part,
            has_room: &has_room,
        };
        self.warm_up.run(&tree, &storing)
    }

    /// Gives up what was stored beforehand, and removes it. Whether there was anything.
    ///
    /// # Errors
    /// The volume fails, and it is left to the next sweep.
    pub fn give_up_warmed(&self, hold: &Hold) -> Result<bool, ImageDirError> {
        let had = self.warm_up.forget();
        self.sweep_warmed(hold).map(|()| had)
    }

    /// Removes what was stored beforehand and is not wanted any more, if there is anything.
    ///
    /// # Errors
    /// The volume fails, and it is left to the next sweep.
    pub fn sweep_warmed(&self, hold: &Hold) -> Result<(), ImageDirError> {
        if self.warm_up.take_waste() { hold.sweep_waste() } else { Ok(()) }
    }

    /// For a program that has ended: nothing is stored any more, and nothing of it stays. Blocks for a moment.
    ///
    /// # Errors
    /// The volume fails.
    pub fn end_warm_up(&self, hold: &Hold) -> Result<(), ImageDirError> {
        let _held_up = self.warm_up.hold_up();
        self.warm_up.forget();
        let until = Instant::now() + limits::WARM_UP_END;
        while self.warm_up.is_under_way() && Instant::now() < until {
            thread::sleep(limits::WARM_UP_POLL);
        }
        self.sweep_warmed(hold)
    }
}

/// What is stored beforehand never takes the room of a whole checkpoint, however little of one will be new: what else the volume is full of
/// is not ours to give up for it.
fn has_room_besides(hold: &Hold, bytes: u64) -> io::Result<()> {
    let is_short = retention::is_short(hold, bytes).map_err(io::Error::other)?;
    if is_short {
        Err(io::Error::other("the volume has no room for more besides a checkpoint"))
    } else {
        Ok(())
    }
}
