//! Gives up a step that CRIU works in.

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::{criu, limits};

/// Ends CRIU and waits a moment for the step that called it; what the step returns is dropped, so that a stopped tree goes
/// on.
pub async fn give_up<T>(mut step: JoinHandle<T>) {
    let patience = Instant::now() + limits::CANCEL_PATIENCE;
    while Instant::now() < patience {
        // Again and again: it may just be about to start.
        criu::cancel();
        if timeout_at(Instant::now() + limits::CANCEL_PAUSE, &mut step).await.is_ok() {
            return;
        }
    }
}
