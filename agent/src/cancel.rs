//! Gives up a step that CRIU works in.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::{criu, limits};

/// Makes CRIU fail, and waits a moment for the step that called it; what the step returns is dropped, so that a stopped tree
/// goes on. A CRIU that does not fail by itself in time is killed.
pub async fn give_up<T>(mut step: JoinHandle<T>) {
    if !ends(&mut step, limits::FAIL_PATIENCE, criu::cancel).await {
        ends(&mut step, limits::CANCEL_PATIENCE, criu::kill_now).await;
    }
}

/// Does `what` again and again, since CRIU may just be about to start. True once the step has ended.
async fn ends<T>(step: &mut JoinHandle<T>, patience: Duration, what: fn()) -> bool {
    let patience = Instant::now() + patience;
    while Instant::now() < patience {
        what();
        if timeout_at(Instant::now() + limits::CANCEL_PAUSE, &mut *step).await.is_ok() {
            return true;
        }
    }
    false
}
