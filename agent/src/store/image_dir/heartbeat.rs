//! Shows other pods that the holder of an image directory lives.

use std::io;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;

use crate::base::step_thread;
use crate::store::image_dir::holder;

/// Renews a hold until it is dropped. It has a thread of its own, so that neither a long restore nor a volume that hangs
/// holds anything else up.
#[derive(Debug)]
pub struct Heartbeat {
    /// The thread ends when this is dropped.
    _alive: Option<Sender<()>>,
}

impl Heartbeat {
    /// Renews the hold in `path` every `interval`.
    pub fn start(path: &Path, interval: Duration) -> Self {
        let (alive, dropped) = channel::<()>();
        let path = path.to_owned();
        let mut begun = step_thread::run(move || {
            let mut count = 0;
            while dropped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                count += 1;
                if !renewed(&path, count) {
                    return;
                }
            }
        });
        if begun.try_recv() == Err(TryRecvError::Closed) {
            tracing::warn!(
                "the hold on the image directory is not renewed and will expire: there is no thread for it"
            );
            return Self { _alive: None };
        }
        Self { _alive: Some(alive) }
    }
}

/// False once there is nothing to renew any more.
fn renewed(path: &Path, count: u64) -> bool {
    match holder::renew(path, count) {
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
