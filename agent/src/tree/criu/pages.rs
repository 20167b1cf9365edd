//! Where the pages of a tree's memory go in a dump, if not to CRIU's own files. They are raw: what the memory holds, in the order in which
//! `pagemap-*.img` tells of it.

use std::io::{self, Read};

/// How the image of a tree's pages with this number is called (criu/image-desc.c).
pub(super) fn pages_image(number: u32) -> String {
    format!("pages-{number}.img")
}

/// Takes the pages of a dump.
pub trait PagesSink: Send + Sync {
    /// Takes one image, up to its end. The tree is frozen as long as it is not read; CRIU writes them one after the other. What a CRIU
    /// that failed had written ends like any other, and the dump then fails.
    ///
    /// # Errors
    /// They cannot be kept. The dump is then given up.
    fn take(&self, name: &str, pages: &mut dyn Read) -> io::Result<()>;
}
