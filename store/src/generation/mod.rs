//! One checkpoint: what it says, and whether it is whole. It imports all other rooms.

pub mod clock_facts;
pub mod commit;
pub mod contents;
pub mod copy;
pub mod digest;
pub mod file_numbers;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden;
pub mod identity;
pub mod keys;
pub mod manifest;
pub mod open_files;
pub mod own_values;
pub mod parts;
pub mod pod_facts;
pub mod program_digests;
pub mod seal;
pub mod secrets;
pub mod signature;
pub mod stream_facts;
pub mod streams;
pub mod tree_facts;
pub mod verify;
pub mod verify_whole;
