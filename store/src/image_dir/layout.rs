//! The names in a generation.

/// The directory of CRIU's images.
pub const IMAGES: &str = "criu";

/// The list of the files that went along, and what they are besides their contents.
pub const CARRIED_LIST: &str = "carried.json";

/// The contents of the files that went along, one after the other.
pub const CARRIED_DATA: &str = "carried.data";

/// In generations of earlier releases: the directory of the files that are put back into the container.
pub const FILES: &str = "files";

/// The directory of copies of files that were open without a name.
pub const UNNAMED: &str = "unnamed";

/// The directory of links to files that were open, had lost a name, and have another. The tree writes to them, so they are no
/// part of what is verified.
pub const LINKS: &str = "links";

/// The file that says all that a start must know.
pub const MANIFEST: &str = "manifest.json";

/// The file with the manifest's digest, by which damage and careless edits are found without a key. Who alters the manifest on
/// purpose can make it fit.
pub const DIGEST: &str = "manifest.blake3";

/// The file with the manifest's signature.
pub const SIGNATURE: &str = "manifest.mac";

/// What the streams of the generation consist of, where they are kept in packs.
pub const INDEX: &str = "index";

/// The names of the packs that the generation needs, one a line. What is no generation of this form needs none.
pub const PACK_LIST: &str = "packs.list";

/// In what is staged: the directory of the packs to which nobody else refers yet.
pub const PACKS: &str = "packs";
