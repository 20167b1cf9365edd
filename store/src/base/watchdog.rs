//! Tells a step that works from one that hangs: whoever works on a volume says so now and then, and its time is over only when it
//! has been silent for too long.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Watches over one step.
#[derive(Debug, Clone, Default)]
pub struct Watchdog(Arc<AtomicU64>);

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Watchdog>> = const { RefCell::new(None) };
}

/// Something was done. Costs nothing where nobody watches.
pub fn moved() {
    OF_THIS_THREAD.with_borrow(|watched| {
        watched.iter().for_each(|watchdog| {
            watchdog.0.fetch_add(1, Ordering::Relaxed);
        });
    });
}

impl Watchdog {
    /// The one that watches over this thread, or one at which nobody looks.
    pub fn of_this_thread() -> Self {
        OF_THIS_THREAD.with_borrow(|watched| watched.clone().unwrap_or_default())
    }

    /// Does `step`, watched.
    pub fn watch<T>(&self, step: impl FnOnce() -> T) -> T {
        /// Also when it panics, since a thread may be used again.
        struct Unwatched;
        impl Drop for Unwatched {
            fn drop(&mut self) {
                OF_THIS_THREAD.take();
            }
        }
        let _unwatched = Unwatched;
        OF_THIS_THREAD.set(Some(self.clone()));
        step()
    }

    /// A number that is another one whenever something was done.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_watched_is_seen_to_move() {
        let watchdog = Watchdog::default();
        moved();
        assert_eq!(watchdog.seen(), 0);
        watchdog.watch(moved);
        assert_eq!(watchdog.seen(), 1);
        moved();
        assert_eq!(watchdog.seen(), 1);
    }
}
