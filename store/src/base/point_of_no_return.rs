//! Settles between a step that cannot be taken back and its deadline who was first.

use std::sync::atomic::{AtomicU8, Ordering};

/// Once the step may begin it is waited for, and once it was given up it does not begin.
#[derive(Debug, Default)]
pub struct PointOfNoReturn(AtomicU8);

const OPEN: u8 = 0;
const BEGUN: u8 = 1;
const CLOSED: u8 = 2;

impl PointOfNoReturn {
    /// The step is given up. False if it was first.
    pub fn close(&self) -> bool {
        self.0.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The step begins. False if it was given up.
    pub fn begin(&self) -> bool {
        self.0.compare_exchange(OPEN, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// True once the step was given up.
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLOSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_the_step_or_the_deadline_is_first() {
        let (early, late) = (PointOfNoReturn::default(), PointOfNoReturn::default());
        assert!(early.begin() && !early.close() && !early.is_closed());
        assert!(late.close() && !late.begin() && late.is_closed());
    }
}
