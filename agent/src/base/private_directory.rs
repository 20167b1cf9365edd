//! A directory of the container's own for what is needed for a moment: images as CRIU wants them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use thiserror::Error;

use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};

/// Nowhere can one be made.
#[derive(Debug, Error)]
#[error("no directory can hold images: {0}; make one of them writable (an emptyDir on /run/crik will do)")]
pub struct NoPlace(pub String);

impl HasOutlook for NoPlace {
    fn outlook(&self) -> Outlook {
        Outlook::Lasting
    }
}

/// Removed when it is dropped.
#[derive(Debug)]
pub struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes one in the first place that can be written.
    ///
    /// # Errors
    /// There is none.
    pub fn make() -> Result<Self, NoPlace> {
        let mut tried = Vec::new();
        for place in limits::INIT_DIRECTORIES.iter().map(Path::new) {
            match Self::at(place) {
                Ok(made) => return Ok(made),
                Err(error) => tried.push(format!("{} ({error})", place.display())),
            }
        }
        Err(NoPlace(tried.join(", ")))
    }

    /// The first directory in which one could be made, or in which another program makes its own.
    pub fn place() -> &'static Path {
        let usable = |place: &&Path| {
            fs::create_dir_all(place).is_ok()
                && nix::unistd::access(*place, nix::unistd::AccessFlags::W_OK).is_ok()
        };
        let mut places = limits::INIT_DIRECTORIES.iter().map(Path::new);
        places.find(usable).unwrap_or(Path::new("/tmp"))
    }

    fn at(place: &Path) -> io::Result<Self> {
        fs::create_dir_all(place)?;
        let path = place.join(name());
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("{} is left behind: {error}", self.0.display());
        }
    }
}

/// Another one each time, since what was given up may still use one.
pub fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{}{}-{}", limits::PRIVATE_IMAGES, process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ours_alone_and_gone_with_all_in_it() {
        let (one, other) = (PrivateDirectory::make().unwrap(), PrivateDirectory::make().unwrap());
        assert_ne!(one.path(), other.path());
        let path = one.path().to_owned();
        fs::write(path.join("files.img"), "image").unwrap();
        drop(one);
        assert!(!path.exists() && other.path().exists());
    }
}
