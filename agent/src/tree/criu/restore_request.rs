//! What a restore is given.

use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;

use super::call::Connections;
use super::in_namespace::Namespaces;
use super::pages::PagesSource;
use crate::base::headway::Headway;

/// What a restore is given.
pub struct Restore<'a> {
    /// The directory of the images, which is not written.
    pub images: &'a Path,
    /// Where CRIU writes what it measures.
    pub work: &'a Path,
    /// Descriptors that stand in for files of the image, by CRIU's key for them.
    pub inherited: &'a [(RawFd, String)],
    /// The namespaces of the tree.
    pub namespaces: Namespaces,
    /// What becomes of its connections.
    pub connections: Connections,
    /// Given up when nobody waits for it any more.
    pub headway: &'a Headway,
    /// Gives the pages of memory that the directory does not have.
    pub pages: Option<Arc<dyn PagesSource>>,
}
