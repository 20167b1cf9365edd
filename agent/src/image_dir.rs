//! The image directory: what belongs to one workload replica on the shared volume.
//!
//! ```text
//! generations/00000007/   committed, immutable
//! claims/00000007.json    who resumes it, attempts, outcomes
//! staging/                never read at start; swept
//! ended.json              if present, nothing older than it may be resumed
//! ```
//!
//! Only rename, exclusive create and fsync are relied on, so that it works on NFS.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::durable::{ignore_missing, remove_tree, sync_directory};

/// The number of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The one that follows.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Reads a directory's name; anything but eight or more digits is not a generation.
    fn parse(name: &str) -> Option<Self> {
        (name.len() >= 8 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok().map(Self))?
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// Why the image directory cannot be used.
#[derive(Debug, Error)]
pub enum ImageDirError {
    /// What should hold the image directory is not there.
    #[error("imageDir {path}: {parent} does not exist; mount the checkpoint volume there")]
    NoParent {
        /// The image directory.
        path: PathBuf,
        /// The directory that is missing.
        parent: PathBuf,
    },
    /// An operation on the volume failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Gives an I/O error its operation and path.
pub fn io_at<'p>(what: &'static str, path: &'p Path) -> impl Fn(io::Error) -> ImageDirError + 'p {
    move |source| ImageDirError::Io { what, path: path.into(), source }
}

/// Before the number in the name of a generation that is being removed.
const REMOVING: &str = "removing-";

/// An image directory that exists.
#[derive(Debug, Clone)]
pub struct ImageDir {
    root: PathBuf,
}

impl ImageDir {
    /// Opens `root` and makes what is missing of it, except for the directory that should hold it: were that made
    /// too, a forgotten volume would go unnoticed and checkpoints would go to the container's own layer.
    ///
    /// # Errors
    /// The volume is not there, or cannot be written.
    pub fn open(root: &Path) -> Result<Self, ImageDirError> {
        let parent = root.parent().unwrap_or(root);
        if !parent.is_dir() {
            return Err(ImageDirError::NoParent { path: root.into(), parent: parent.into() });
        }
        let dir = Self { root: root.into() };
        for path in [root.to_owned(), dir.generations(), dir.claims()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io_at("create", &path))?;
        }
        Ok(dir)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True when it is on the same file system as `/`, and so most likely not on a volume at all.
    pub fn is_on_root_file_system(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
        device(&self.root) == device(Path::new("/"))
    }

    fn generations(&self) -> PathBuf {
        self.root.join("generations")
    }

    fn claims(&self) -> PathBuf {
        self.root.join("claims")
    }

    /// Where a dump is written before it is committed.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// The directory of a committed generation.
    pub fn generation(&self, generation: Generation) -> PathBuf {
        self.generations().join(generation.to_string())
    }

    /// The file that holds the claim on a generation.
    pub fn claim(&self, generation: Generation) -> PathBuf {
        self.claims().join(format!("{generation}.json"))
    }

    /// All committed generations, newest first.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn list(&self) -> Result<Vec<Generation>, ImageDirError> {
        let path = self.generations();
        let mut found = Vec::new();
        for entry in fs::read_dir(&path).map_err(io_at("read", &path))? {
            let name = entry.map_err(io_at("read", &path))?.file_name();
            found.extend(name.to_str().and_then(Generation::parse));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// The number for the next commit: above every generation that exists, or was there when the workload ended.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn next(&self) -> Result<Generation, ImageDirError> {
        let newest = self.list()?.first().copied().unwrap_or(Generation(0));
        let ended = self.ended()?.map_or(Generation(0), |ended| ended.newest);
        Ok(newest.max(ended).next())
    }

    /// Makes an empty staging directory, whatever an earlier dump left there.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn clean_staging(&self) -> Result<PathBuf, ImageDirError> {
        let staging = self.staging();
        self.sweep_staging()?;
        DirBuilder::new().mode(0o700).create(&staging).map_err(io_at("create", &staging))?;
        Ok(staging)
    }

    /// Removes the staging directory.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn sweep_staging(&self) -> Result<(), ImageDirError> {
        remove_tree(&self.staging())
    }

    /// Saves CRIU's log of a failure from the staging directory, which is swept, for a person to read.
    pub fn keep_log(&self, log: &Path) {
        let kept =
            self.root.join(format!("failed-{}", log.file_name().unwrap_or_default().to_string_lossy()));
        if fs::rename(log, &kept).is_ok() {
            tracing::warn!("CRIU's log is kept in {}", kept.display());
        }
    }

    /// Makes the staging directory a generation: the commit. What is in it must be durable already, or a loss of power
    /// could leave a generation without its contents.
    ///
    /// # Errors
    /// The volume cannot be written. The generation then does not exist, or exists whole.
    pub fn commit(&self, generation: Generation) -> Result<(), ImageDirError> {
        let staging = self.staging();
        let target = self.generation(generation);
        fs::rename(&staging, &target).map_err(io_at("commit", &target))?;
        let durable = sync_directory(&self.generations()).and_then(|()| sync_directory(&self.root));
        if durable.is_err() {
            // It is seen but may not last, and the application is about to go on.
            fs::rename(&target, &staging).map_err(io_at("take back", &target))?;
        }
        durable
    }

    /// Removes a generation and its claim. It is renamed away first, so that it is never seen half removed.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn remove(&self, generation: Generation) -> Result<(), ImageDirError> {
        let path = self.generation(generation);
        let trash = self.root.join(format!("{REMOVING}{generation}"));
        remove_tree(&trash)?;
        fs::rename(&path, &trash).map_err(io_at("remove", &path))?;
        remove_tree(&trash)?;
        self.remove_claim(generation)
    }

    /// Removes the claim on a generation.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn remove_claim(&self, generation: Generation) -> Result<(), ImageDirError> {
        let claim = self.claim(generation);
        ignore_missing(fs::remove_file(&claim)).map_err(io_at("remove", &claim))
    }

    /// Removes what is left of generations whose removal was interrupted.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn sweep_removed(&self) -> Result<(), ImageDirError> {
        for entry in fs::read_dir(&self.root).map_err(io_at("read", &self.root))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(REMOVING) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_dir() -> (tempfile::TempDir, ImageDir) {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(&volume.path().join("job-0")).unwrap();
        (volume, dir)
    }

    fn commit(dir: &ImageDir) -> Generation {
        let generation = dir.next().unwrap();
        dir.clean_staging().unwrap();
        dir.commit(generation).unwrap();
        generation
    }

    #[test]
    fn a_forgotten_volume_is_noticed() {
        let error = ImageDir::open(Path::new("/no-such-volume/job-0")).unwrap_err().to_string();
        assert_eq!(
            error,
            "imageDir /no-such-volume/job-0: /no-such-volume does not exist; mount the checkpoint volume there"
        );
    }

    #[test]
    fn what_is_staged_does_not_exist_until_it_is_committed() {
        let (_volume, dir) = image_dir();
        dir.clean_staging().unwrap();
        assert!(dir.list().unwrap().is_empty());
        dir.commit(Generation(1)).unwrap();
        assert_eq!(dir.list().unwrap(), [Generation(1)]);
        assert!(!dir.staging().exists());
    }

    #[test]
    fn generations_are_listed_newest_first_and_strangers_are_not() {
        let (_volume, dir) = image_dir();
        for _ in 0..11 {
            commit(&dir);
        }
        fs::create_dir(dir.generations().join("lost+found")).unwrap();
        fs::create_dir(dir.generations().join("12")).unwrap();
        assert_eq!(dir.list().unwrap()[..2], [Generation(11), Generation(10)]);
    }

    #[test]
    fn a_number_is_never_used_again_after_an_end() {
        let (_volume, dir) = image_dir();
        let last = commit(&dir);
        assert_eq!(dir.mark_ended("exit status 0").unwrap().newest, last);
        dir.remove(last).unwrap();
        assert_eq!(dir.next().unwrap(), last.next());
    }
}
