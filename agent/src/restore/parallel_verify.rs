//! What the verification of an image says, for those who wait for it while it still reads.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crate::base::limits;
use crate::store::generation::manifest::Manifest;
use crate::store::generation::verify;

/// A verification in a thread of its own.
pub struct ParallelVerify {
    coming: Mutex<Receiver<Result<(), String>>>,
    known: OnceLock<Result<(), String>>,
}

impl ParallelVerify {
    /// Compares the hashes of the images in `path`, beside CRIU, which reads them too.
    pub fn begin(path: &Path, manifest: &Manifest) -> Self {
        let (tell, coming) = channel();
        let (path, manifest) = (path.to_owned(), manifest.clone());
        thread::spawn(move || {
            let outcome = verify::images(&path, &manifest).map_err(|error| error.to_string());
            // Nobody may be left to hear it.
            let _ = tell.send(outcome);
        });
        Self { coming: Mutex::new(coming), known: OnceLock::new() }
    }

    /// For images that are not verified.
    pub fn good() -> Self {
        Self { coming: Mutex::new(channel().1), known: OnceLock::from(Ok(())) }
    }

    /// Waits for the verdict. Blocks.
    ///
    /// # Errors
    /// Why the images are not to be resumed, or that it was `given_up` to wait.
    pub fn wait(&self, given_up: impl Fn() -> bool) -> Result<(), String> {
        let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        while self.known.get().is_none() {
            let outcome = match coming.recv_timeout(limits::VERIFY_POLL) {
                Ok(outcome) => outcome,
                Err(RecvTimeoutError::Timeout) if given_up() => {
                    return Err("the restore was given up".to_owned());
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    Err("internal error: the verification ended early".to_owned())
                }
            };
            let _ = self.known.set(outcome);
        }
        self.known.get().cloned().unwrap_or(Ok(()))
    }
}
