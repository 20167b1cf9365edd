//! Tells when a restore does not move any more, whatever holds it up.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::base::headway::Headway;
use crate::base::limits;
use crate::tree::criu;
use crate::tree::process::traffic;

/// Returns once nothing has moved for `limit`: neither what we hash and put back, nor what CRIU and the processes that it makes read
/// and write.
pub async fn stalled(limit: Duration, headway: &Headway) {
    let moved = || (headway.moved(), traffic::of_descendants());
    let (mut last, mut since) = (moved(), Instant::now());
    while since.elapsed() < limit {
        sleep(limits::STALL_POLL.min(limit / 4)).await;
        criu::bound_log();
        let now = moved();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

/// Returns once the CRIU of a call has been dead for a while. The processes that it had made may hold the connection open by
/// which its end would be noticed, and wait for it for ever; a call that works is over within moments of CRIU's end.
pub async fn criu_is_gone() {
    let mut missed = 0;
    while missed < limits::CRIU_GONE_LOOKS {
        sleep(limits::STALL_POLL).await;
        missed = if criu::is_called() && criu::has_ended() { missed + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_moves_may_take_its_time() {
        let (headway, limit) = (Headway::default(), Duration::from_millis(500));
        let moving = async {
            for _ in 0..20 {
                sleep(limit / 10).await;
                headway.go_on(1).unwrap();
            }
        };
        let moved = async {
            stalled(limit, &headway).await;
            headway.moved()
        };
        assert_eq!(tokio::join!(moved, moving).0, 20);
    }
}
