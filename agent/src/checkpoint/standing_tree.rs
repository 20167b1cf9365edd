//! A tree that stands still after its checkpoint, in memory, until it is ended or goes on.

use crate::base::fault_points::{Point, reach};
use crate::base::panics::contained_now;
use crate::checkpoint::freeze::Stopped;
use crate::checkpoint::quiet::Quiet;

/// The tree. Dropped without [`StandingTree::end`] it goes on where it stands, and then the application's hook is run.
pub struct StandingTree {
    stopped: Stopped,
    quiet: Quiet,
}

impl StandingTree {
    /// Of what was stopped and asked to prepare.
    pub fn new(stopped: Stopped, quiet: Quiet) -> Self {
        Self { stopped, quiet }
    }

    /// Ends it: from now on only its image may go on. That is durable, whatever happens here.
    pub fn end(self) {
        let Self { stopped, quiet } = self;
        let _ = contained_now(|| {
            quiet.ends();
            stopped.kill();
            reach(Point::Killed);
        });
    }
}
