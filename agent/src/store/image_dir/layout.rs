//! The names in a generation.

/// The directory of CRIU's images.
pub const IMAGES: &str = "criu";

/// The directory of the files that are put back into the container.
pub const FILES: &str = "files";

/// The file that says all that a start must know.
pub const MANIFEST: &str = "manifest.json";

/// The file with the manifest's signature.
pub const SIGNATURE: &str = "manifest.mac";
