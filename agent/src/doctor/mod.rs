//! What stands in the way of going on elsewhere, each with its remedy, and what all of it comes to. It imports everything but `cli` and `supervise`.

pub mod checks;
pub mod clocks;
pub mod connections;
pub mod copy;
pub mod descriptors;
pub mod examination;
pub mod file_numbers;
pub mod finding;
pub mod in_second_pod;
pub mod own_users;
pub mod protection;
pub mod second_pod;
mod second_pod_volumes;
pub mod tree;
pub mod trial;
pub mod volume;
