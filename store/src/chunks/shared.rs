//! What those share who store a checkpoint: who writes its streams, who keeps chunks, who writes packs.

use std::io;
use std::sync::{Arc, Mutex};

use crossbeam_channel::{SendTimeoutError, Sender};

use crate::base::headway::Headway;
use crate::base::limits::QUEUE_POLL;
use crate::base::panics::locked;
use crate::chunks::buffers::Pool;
use crate::chunks::choice::Choice;
use crate::chunks::index::SecretId;
use crate::chunks::name::NameKey;
use crate::chunks::results::Results;
use crate::encryption::cipher::ChunkCipher;

/// What seals the chunks of a checkpoint.
pub struct Seal {
    /// What does it.
    pub cipher: ChunkCipher,
    /// With what.
    pub secret: SecretId,
}

pub(super) struct Shared {
    pub names: NameKey,
    pub seal: Option<Seal>,
    pub results: Mutex<Option<Results>>,
    pub choice: Mutex<Choice>,
    pub failed: Mutex<Option<io::Error>>,
    pub new_bytes: Mutex<u64>,
    pub headway: Arc<Headway>,
    /// For batches.
    pub batches: Arc<Pool>,
    /// For what is made of them.
    pub kept: Arc<Pool>,
}

impl Shared {
    /// Says whether there is still something to do for anybody.
    pub fn may_go_on(&self) -> io::Result<()> {
        if let Some(error) = &*locked(&self.failed) {
            return Err(again(error));
        }
        self.headway.go_on(0)
    }

    pub fn results<T>(&self, what: impl FnOnce(&mut Results) -> T) -> io::Result<T> {
        locked(&self.results).as_mut().map(what).ok_or_else(over)
    }

    pub fn note(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            locked(&self.failed).get_or_insert(error);
        }
    }

    /// Hands something on, as soon as there is room for it.
    pub fn send<T>(&self, to: &Sender<T>, mut what: T) -> io::Result<()> {
        loop {
            self.may_go_on()?;
            match to.send_timeout(what, QUEUE_POLL) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => what = back,
                Err(SendTimeoutError::Disconnected(_)) => {
                    return Err(io::Error::other("nobody stores it any more"));
                }
            }
        }
    }
}

pub(super) fn over() -> io::Error {
    io::Error::other("all is written already")
}

/// An error to be told more than once.
fn again(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}
