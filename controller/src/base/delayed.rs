//! A word that counts some time after it was said.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// Becomes true when `told` has been so for `delay`.
pub fn delayed(mut told: watch::Receiver<bool>, delay: Duration) -> watch::Receiver<bool> {
    let (tell, over) = watch::channel(false);
    tokio::spawn(async move {
        let _ = told.wait_for(|told| *told).await;
        sleep(delay).await;
        let _ = tell.send(true);
    });
    over
}
