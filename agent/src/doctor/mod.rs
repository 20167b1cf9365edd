//! What stands in the way of a checkpoint here, each with its remedy. It imports everything but `cli` and `supervise`.

pub mod checks;
pub mod clocks;
pub mod room;
pub mod trial;
pub mod volume;
