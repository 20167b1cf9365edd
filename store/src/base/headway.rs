//! How a step on the volume gets on, and whether it is wanted any more: it is given up when nothing moves, not when it has taken
//! long, and what was given up does nothing afterwards.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::point_of_no_return::PointOfNoReturn;

/// Shared by a step and by who waits for it: the one shows that it moves, the other gives it up when it does not.
#[derive(Debug, Default)]
pub struct Headway {
    point_of_no_return: PointOfNoReturn,
    moved: AtomicU64,
    expected: AtomicU64,
    disowned: AtomicBool,
}

impl Headway {
    /// The step is given up. False if what cannot be taken back has begun: then it is waited for.
    pub fn give_up(&self) -> bool {
        self.point_of_no_return.close()
    }

    /// What cannot be taken back begins. False if the step was given up.
    pub fn begin(&self) -> bool {
        self.point_of_no_return.begin()
    }

    /// True once the step was given up.
    pub fn is_given_up(&self) -> bool {
        self.point_of_no_return.is_closed()
    }

    /// Nobody waits any longer for a step that was given up to end: others work now where it worked.
    pub fn disown(&self) {
        self.disowned.store(true, Ordering::Release);
    }

    /// True once nobody waits for its end: then it does not even undo what it has done.
    pub fn is_disowned(&self) -> bool {
        self.disowned.load(Ordering::Acquire)
    }

    /// So many bytes more are to be moved.
    pub fn expect(&self, bytes: u64) {
        self.expected.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more were moved.
    ///
    /// # Errors
    /// The step was given up, and moves no more.
    pub fn go_on(&self, bytes: u64) -> io::Result<()> {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        if self.is_given_up() { Err(io::Error::other("it was given up")) } else { Ok(()) }
    }

    /// It waits for something that is no part of it, for which there is a limit of its own: that is no silence.
    ///
    /// # Errors
    /// The step was given up, and waits no more.
    pub fn wait_on(&self) -> io::Result<()> {
        self.go_on(1)
    }

    /// How many bytes were moved, and how often it was waited.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// How many bytes are still to be moved, as far as that was told.
    pub fn left(&self) -> u64 {
        self.expected.load(Ordering::Relaxed).saturating_sub(self.moved())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_moves_no_more() {
        let headway = Headway::default();
        headway.expect(10);
        headway.go_on(4).unwrap();
        assert_eq!((headway.moved(), headway.left()), (4, 6));
        assert!(headway.give_up() && !headway.begin());
        assert!(headway.go_on(1).is_err());
    }

    #[test]
    fn what_cannot_be_taken_back_is_not_given_up() {
        let headway = Headway::default();
        assert!(headway.begin() && !headway.give_up() && !headway.is_given_up());
        headway.go_on(1).unwrap();
    }
}
