//! One checkpoint: what it says, and whether it is whole. It imports what the room `store` may, and `image_dir`.

pub mod clock_facts;
pub(crate) mod commit;
pub(crate) mod contents;
pub mod digest;
pub mod file_numbers;
pub(crate) mod identity;
pub mod manifest;
pub mod open_files;
pub(crate) mod own_values;
pub(crate) mod pod_facts;
pub(crate) mod program_digests;
pub mod seal;
pub mod signature;
pub(crate) mod tree_facts;
pub mod verify;
