//! Paths that are removed before a dump with the inotify watches on them, since the program cannot bear these in the next container; put
//! back when the application goes on after all.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crik_store::backend::durable::ignore_missing;
use crik_store::image_dir::{ImageDirError, io_at};

use crate::base::headway::Headway;
use crate::base::limits;
use crate::carry::files::earlier::copy;

/// What was removed. Dropped, it is put back where nothing else is by then.
#[derive(Debug, Default)]
pub struct RemovedPaths {
    /// Where copies of them lie.
    aside: Option<PathBuf>,
    /// Each path with the name of its copy.
    copies: Vec<(PathBuf, PathBuf)>,
}

impl RemovedPaths {
    /// Removes them. A copy of each is kept, since a watch lives as long as the file itself does.
    ///
    /// # Errors
    /// One cannot be removed. What was is put back.
    pub fn remove(paths: &[PathBuf]) -> Result<Self, ImageDirError> {
        let there: Vec<&PathBuf> = paths.iter().filter(|path| path.symlink_metadata().is_ok()).collect();
        let mut removed = Self::default();
        if there.is_empty() {
            return Ok(removed);
        }
        removed.aside = aside().inspect_err(|error| warn("they", error)).ok();
        for path in there {
            removed.copy(path);
            let is_dir = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            let gone = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            ignore_missing(gone).map_err(io_at("remove", path))?;
        }
        Ok(removed)
    }

    fn copy(&mut self, path: &Path) {
        let Some(aside) = &self.aside else { return };
        let kept = aside.join(self.copies.len().to_string());
        match copy(path, &kept, &|_| None, &Headway::default()) {
            Ok(()) => self.copies.push((path.into(), kept)),
            Err(error) => warn(&path.display().to_string(), &error),
        }
    }

    /// The application does not go on.
    pub fn forget(mut self) {
        self.copies.clear();
    }
}

impl Drop for RemovedPaths {
    fn drop(&mut self) {
        for (path, kept) in &self.copies {
            if kept.symlink_metadata().is_err() || path.symlink_metadata().is_ok() {
                continue;
            }
            if let Err(error) = copy(kept, path, &|_| None, &Headway::default()) {
                warn(&path.display().to_string(), &error);
            }
        }
        if let Some(aside) = &self.aside {
            let _ = fs::remove_dir_all(aside);
        }
    }
}

/// In the first directory that can be written: an ordinary user cannot write to every one.
fn aside() -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for own in limits::INIT_DIRECTORIES {
        match aside_in(Path::new(own)) {
            Err(error) => last = error,
            made => return made,
        }
    }
    Err(last)
}

fn aside_in(own: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    fs::create_dir_all(own)?;
    let path = own.join(format!("{}inotify-{}", limits::ASIDE, NEXT.fetch_add(1, Ordering::Relaxed)));
    ignore_missing(fs::remove_dir_all(&path))?;
    DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

fn warn(what: &str, error: &io::Error) {
    tracing::warn!(
        step = "freeze",
        "{what} of inotifyIncompatiblePaths cannot be put back if the application goes on: {error}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_put_back_unless_something_else_is_there_or_nobody_needs_them() {
        let dir = tempfile::tempdir().unwrap();
        let [file, tree, taken, missing] =
            ["file", "tree", "taken", "missing"].map(|name| dir.path().join(name));
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("inside"), "i").unwrap();
        fs::write(&file, "f").unwrap();
        fs::write(&taken, "old").unwrap();
        let paths = [file.clone(), tree.clone(), taken.clone(), missing.clone()];

        let removed = RemovedPaths::remove(&paths).unwrap();
        let aside = removed.aside.clone().unwrap();
        assert!(paths.iter().all(|path| !path.exists()));
        fs::write(&taken, "new").unwrap();
        drop(removed);
        assert_eq!(fs::read_to_string(&file).unwrap(), "f");
        assert_eq!(fs::read_to_string(tree.join("inside")).unwrap(), "i");
        assert_eq!(fs::read_to_string(&taken).unwrap(), "new");
        assert!(!missing.exists() && !aside.exists());

        RemovedPaths::remove(&paths).unwrap().forget();
        assert!(paths.iter().all(|path| !path.exists()));
    }
}
