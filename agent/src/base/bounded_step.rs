//! Steps that may hang with the volume, and for which nobody waits for ever.

use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::base::signals::Signals;

/// Why a step's outcome is not known. It may go on in a thread of its own for as long as the volume likes.
#[derive(Debug, Error)]
pub enum Abandoned {
    /// The pod was told to stop.
    #[error("signal {0} came first")]
    Signal(i32),
    /// The volume takes too long.
    #[error("the volume did not answer within {0:?} (volumeTimeout)")]
    NoAnswer(Duration),
    /// The step panicked, or the signals cannot be read.
    #[error("internal error: {0}")]
    Broken(String),
}

/// Does `step`, which blocks, and waits for it at most for `limit` and until the pod is told to stop. The step has a thread
/// and a table of descriptors of its own, and must not give any of them away.
///
/// # Errors
/// The outcome is not known.
pub async fn within<T: Send + 'static>(
    signals: &Signals,
    limit: Duration,
    step: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Abandoned> {
    let broken = |error: &dyn std::error::Error| Abandoned::Broken(error.to_string());
    tokio::select! {
        done = in_a_thread(step) => done.map_err(|error| broken(&error)),
        () = sleep(limit) => Err(Abandoned::NoAnswer(limit)),
        signal = signals.to_end() => Err(signal.map_or_else(|error| broken(&error), Abandoned::Signal)),
    }
}

/// A step that hangs may have a file of the volume open. If the application's process inherited it, its exec would close it,
/// and to close a file asks the volume again on some file systems (FUSE_FLUSH): the application would hang too.
fn in_a_thread<T: Send + 'static>(step: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (tell, done) = oneshot::channel();
    // Without a thread the sender is dropped, which is an outcome too.
    let _ = thread::Builder::new().name("crik-step".to_owned()).spawn(move || {
        // An error means that the kernel lacks memory; then the step is done as it is.
        let _ = unshare(CloneFlags::CLONE_FILES);
        // Nobody may be left to hear it.
        let _ = tell.send(step());
    });
    done
}
