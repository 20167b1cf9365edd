//! What is read of a stream before whoever takes it asks for it, in its order, by as many threads as like to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::base::headway::Headway;
use crate::base::limits::{QUEUE_POLL, READ_AHEAD_GROUPS};
use crate::base::panics::locked;

/// What was read and not handed on yet.
pub(super) struct ReadAhead<T> {
    next: AtomicUsize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    read: HashMap<usize, T>,
    /// How many groups were handed on.
    taken: usize,
    stopped: bool,
}

impl<T> ReadAhead<T> {
    /// Nothing was read.
    pub fn new() -> Self {
        let state = State { read: HashMap::new(), taken: 0, stopped: false };
        Self { next: AtomicUsize::new(0), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The number of the group that is to be read next, once there is room for it.
    pub fn next(&self, groups: usize) -> Option<usize> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = locked(&self.state);
        while !state.stopped && number >= state.taken + READ_AHEAD_GROUPS {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.stopped && number < groups).then_some(number)
    }

    /// It was read.
    pub fn put(&self, number: usize, bytes: T) {
        locked(&self.state).read.insert(number, bytes);
        self.changed.notify_all();
    }

    /// Waits for the group of this number; none once that is given up. A volume that hangs is given up by who looks at the headway.
    pub fn take(&self, number: usize, headway: &Headway) -> Option<T> {
        let mut state = locked(&self.state);
        loop {
            if let Some(bytes) = state.read.remove(&number) {
                state.taken = number + 1;
                self.changed.notify_all();
                return Some(bytes);
            }
            if headway.is_given_up() {
                return None;
            }
            state = self
                .changed
                .wait_timeout(state, QUEUE_POLL)
                .map_or_else(|broken| broken.into_inner().0, |(state, _)| state);
        }
    }

    /// Nobody wants any more.
    pub fn stop(&self) {
        locked(&self.state).stopped = true;
        self.changed.notify_all();
    }
}
