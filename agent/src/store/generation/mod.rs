//! One checkpoint: what it says, and whether it is whole. It imports what the room `store` may, and `image_dir`.

pub mod commit;
pub mod contents;
pub mod digest;
pub mod identity;
pub mod manifest;
pub mod open_files;
pub mod program_digests;
pub mod signature;
pub mod tree_facts;
pub mod verify;
