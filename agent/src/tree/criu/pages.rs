//! Where the pages of a tree's memory go in a dump, and where they come from in a restore, if not to and from CRIU's own files. Both are
//! raw: what the memory holds, in the order in which `pagemap-*.img` tells of it.

use std::io::{self, Read, Write};

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

/// Gives the pages of a restore.
pub trait PagesSource: Send + Sync {
    /// Whether there is such an image.
    fn has(&self, name: &str) -> bool;

    /// Writes one image. Each is asked for by a thread of its own, as many at once as there are processes with memory of their own, in an
    /// order that is CRIU's.
    ///
    /// # Errors
    /// They cannot be read, or nobody wants more of them. The restore then fails.
    fn give(&self, name: &str, to: &mut dyn Write) -> io::Result<()>;
}
