//! Shows other pods that the holder of an image directory lives.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;

use crate::backend::{Backend, Name};
use crate::base::panics::locked;
use crate::base::step_thread;
use crate::image_dir::holder;

/// Renews a hold until it is dropped. It has a thread of its own, so that neither a long restore nor a volume that hangs
/// holds anything else up.
#[derive(Debug)]
pub struct Heartbeat {
    /// The thread ends when this is dropped.
    _alive: Option<Sender<()>>,
    /// True once nothing more is to be written.
    stopped: Arc<Mutex<bool>>,
    /// True once another pod has the image directory.
    lost: Arc<AtomicBool>,
}

impl Heartbeat {
    /// Renews `hold` every `interval`.
    pub fn start(backend: &Arc<dyn Backend>, hold: &Name, interval: Duration) -> Self {
        let (alive, dropped) = channel::<()>();
        let (backend, hold) = (Arc::clone(backend), hold.clone());
        let stopped = Arc::<Mutex<bool>>::default();
        let lost = Arc::<AtomicBool>::default();
        let (asked, told) = (Arc::clone(&stopped), Arc::clone(&lost));
        let mut begun = step_thread::run(move || {
            let mut count = 0;
            while dropped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                count += 1;
                let stopped = locked(&asked);
                if *stopped {
                    return;
                }
                if !renewed(&*backend, &hold, count) {
                    told.store(true, Ordering::Relaxed);
                    return;
                }
            }
        });
        if begun.try_recv() == Err(TryRecvError::Closed) {
            tracing::warn!(
                "the hold on the image directory is not renewed and will expire: there is no thread for it"
            );
            return Self { _alive: None, stopped, lost };
        }
        Self { _alive: Some(alive), stopped, lost }
    }

    /// Whether another pod was found to have taken the image directory over.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes nothing more. Waits for what is being written, which a volume that hangs may hold up.
    pub fn stop(&self) {
        *locked(&self.stopped) = true;
    }
}

/// False once there is nothing to renew any more.
fn renewed(backend: &dyn Backend, hold: &Name, count: u64) -> bool {
    match holder::renew(backend, hold, &format!("{count}\n")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::error!(
                step = "hold",
                "another pod has taken the image directory over; no checkpoint will be taken from here"
            );
            false
        }
        Err(error) => {
            tracing::warn!("the hold on the image directory cannot be renewed: {error}");
            true
        }
        Ok(()) => true,
    }
}
