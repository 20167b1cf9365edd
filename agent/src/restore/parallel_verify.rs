//! The verification of an image in a thread beside CRIU, which reads it too.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use crik_store::generation::manifest::Manifest;
use crik_store::generation::verify::{self, VerifyError};

use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;

/// Why an image is not known to be good.
#[derive(Debug, Clone)]
pub enum Unverified {
    /// It is not what was committed, or cannot be read.
    Altered(Arc<VerifyError>),
    /// Nobody waits any more.
    GivenUp,
    /// The thread has ended without a word.
    Broken,
}

/// A verification in a thread of its own.
pub struct ParallelVerify {
    coming: Mutex<Receiver<Result<(), Unverified>>>,
    known: OnceLock<Result<(), Unverified>>,
}

impl ParallelVerify {
    /// Compares the hashes of the images in `path`.
    pub fn begin(path: &Path, manifest: &Arc<Manifest>, headway: &Arc<Headway>) -> Self {
        let (tell, coming) = channel();
        let (path, manifest, headway) = (path.to_owned(), Arc::clone(manifest), Arc::clone(headway));
        thread::spawn(move || {
            let outcome = verify::images(&path, &manifest, &headway);
            // Nobody may be left to hear it.
            let _ = tell.send(outcome.map_err(|error| Unverified::Altered(Arc::new(error))));
        });
        Self { coming: Mutex::new(coming), known: OnceLock::new() }
    }

    /// For images that are not verified.
    pub fn good() -> Self {
        Self { coming: Mutex::new(channel().1), known: OnceLock::from(Ok(())) }
    }

    /// Waits until it is known. Blocks.
    ///
    /// # Errors
    /// Why the images are not to be resumed, or that it was `given_up` to wait.
    pub fn wait(&self, given_up: impl Fn() -> bool) -> Result<(), Unverified> {
        let coming = locked(&self.coming);
        while self.known.get().is_none() {
            let outcome = match coming.recv_timeout(limits::VERIFY_POLL) {
                Ok(outcome) => outcome,
                Err(RecvTimeoutError::Timeout) if given_up() => return Err(Unverified::GivenUp),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => Err(Unverified::Broken),
            };
            let _ = self.known.set(outcome);
        }
        self.known.get().cloned().unwrap_or(Ok(()))
    }
}
