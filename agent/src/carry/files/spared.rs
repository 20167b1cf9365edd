//! What is neither taken along nor touched when files are put back: what is mounted, what the user excludes, and crik's own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use globset::GlobSet;

use super::mounts::Mounts;
use crate::base::limits;
use crate::config::Config;

/// Paths that are left alone.
#[derive(Debug)]
pub struct Spared {
    mounts: Mounts,
    excluded: GlobSet,
    own: Vec<PathBuf>,
}

impl Spared {
    /// In this container, as it is configured.
    pub fn new(mounts: Mounts, config: &Config) -> Self {
        // The pattern was looked at when the configuration was read.
        let excluded = config.carry.excluded().unwrap_or_else(|_| GlobSet::empty());
        let agent = std::env::current_exe().ok();
        let own = [Some(limits::OWN_DIRECTORY.into()), config.volume().map(Path::to_owned), agent];
        Self { mounts, excluded, own: own.into_iter().flatten().collect() }
    }

    /// What is mounted.
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// The paths that are left alone with all below them, whatever they are called; in a place that the user has `named`, only
    /// what is mounted.
    pub fn tops(&self, named: bool) -> impl Iterator<Item = &Path> {
        let own = self.own.iter().filter(move |_| !named).map(PathBuf::as_path);
        self.mounts.iter().map(|(path, _)| path).chain(own)
    }

    /// Whether `name` in `directory` is left alone for what it is called.
    pub fn covers_name(&self, directory: &Path, name: &OsStr) -> bool {
        is_of_another(name) || !self.excluded.is_empty() && self.excluded.is_match(directory.join(name))
    }

    /// Whether `path`, with all below it, is left alone, but where the user has named it.
    pub fn covers(&self, path: &Path) -> bool {
        self.mounts.at(path).is_some()
            || self.own.iter().any(|own| path.starts_with(own))
            || self.excluded.is_match(path)
            || path.file_name().is_some_and(is_of_another)
    }
}

/// The tree's own clock goes along as crik's own file, and another container's changes while that runs; and another may put its
/// files back at the same time. What a restore has of its own must outlast that the files are put back, and what CRIU knows of this
/// kernel is wrong on the next one.
fn is_of_another(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let own =
        [limits::CLOCK_FILE_NAME, limits::ASIDE, limits::PRIVATE_IMAGES, limits::FEATURE_DIRECTORY_NAME];
    own.iter().any(|own| name.starts_with(own.as_bytes()))
}
