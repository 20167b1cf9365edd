//! Which packs are wanted although no generation needs them: all of them while a checkpoint is being written, which may refer to any, and those
//! that were stored for one that is to come.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::base::panics::locked;

/// Who wants packs.
#[derive(Debug, Default)]
pub struct PackUse(Mutex<Wanted>);

#[derive(Debug, Default)]
struct Wanted {
    /// How many checkpoints are being written.
    writers: usize,
    /// How many have begun so far.
    begun: u64,
    /// How many want a pack of this name.
    spared: BTreeMap<String, usize>,
}

/// A moment in which no checkpoint was being written.
#[derive(Debug, Clone, Copy)]
pub struct Quiet(u64);

impl PackUse {
    /// One more checkpoint is being written.
    pub fn begin(&self) {
        let mut wanted = locked(&self.0);
        wanted.writers += 1;
        wanted.begun += 1;
    }

    /// One is no more.
    pub fn end(&self) {
        locked(&self.0).writers -= 1;
    }

    /// Packs of these names are wanted once more.
    pub fn spare(&self, names: &[String]) {
        let mut wanted = locked(&self.0);
        names.iter().for_each(|name| *wanted.spared.entry(name.clone()).or_default() += 1);
    }

    /// Once less.
    pub fn give_up(&self, names: &[String]) {
        let mut wanted = locked(&self.0);
        for name in names {
            if let Some(count) = wanted.spared.get_mut(name) {
                *count -= 1;
            }
        }
        wanted.spared.retain(|_, count| *count > 0);
    }

    /// Now, if no checkpoint is being written.
    pub fn quiet(&self) -> Option<Quiet> {
        let wanted = locked(&self.0);
        (wanted.writers == 0).then_some(Quiet(wanted.begun))
    }

    /// Takes away a pack that nobody spares; a checkpoint that begins waits for this one pack. False if one has begun since it was quiet:
    /// then it is not known any more what is needed.
    ///
    /// # Errors
    /// Its own.
    pub fn take<E>(&self, name: &str, since: Quiet, take: impl FnOnce() -> Result<(), E>) -> Result<bool, E> {
        let wanted = locked(&self.0);
        if wanted.begun != since.0 {
            return Ok(false);
        }
        if !wanted.spared.contains_key(name) {
            take()?;
        }
        Ok(true)
    }
}
