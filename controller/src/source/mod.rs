//! Where Node objects come from.

pub mod file;
pub mod kubernetes;
mod nodes_file;
pub mod reach;
mod trouble;
mod watched;
