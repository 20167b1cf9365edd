//! The images that CRIU is given: those of the generation, or where this pod differs a private directory in which the images of open
//! files and of locks are others and the rest are links to those of the generation. A generation is never changed.
//!
//! CRIU opens its images below one directory and follows links (criu/image.c, `openat` without `O_NOFOLLOW`).

use std::fs::{self, DirBuilder};
use std::io;
use std::mem;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crik_store::backend::no_links;
use crik_store::generation::digest;
use crik_store::generation::manifest::Manifest;
use crik_store::generation::verify::VerifyError;
use crik_store::image_dir::{ImageDirError, layout};
use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::private_directory::name;
use crate::base::retry::{HasOutlook, Outlook};
use crate::carry::addresses::{self, AddressError, Addresses};
use crate::carry::datagram_peers;
use crate::carry::kubelet_files::{self, KubeletFileError, Unnamed};
use crate::carry::loopback;
use crate::carry::open_files;
use crate::config::{ChangedFiles, Config};
use crate::restore::generation_images::GenerationImages;
use crate::tree::criu::Connections;
use crate::tree::criu::images::{self, FILES_IMAGE, FileLocks, FilesImage, ImageError, LOCKS_IMAGE};

/// Why the images cannot be made to fit this pod.
#[derive(Debug, Error)]
pub enum PrivateImagesError {
    /// One was altered or cannot be read.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// One is damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A socket cannot be restored here.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A file of a ConfigMap cannot be opened here.
    #[error(transparent)]
    KubeletFile(#[from] KubeletFileError),
    /// The pod's addresses cannot be learned.
    #[error("cannot learn this pod's addresses: {0}")]
    Addresses(io::Error),
    /// The changed images can be put nowhere.
    #[error(
        "no directory can hold the changed images: {0}; make one of them writable (an emptyDir on /run/crik will do)"
    )]
    NoPlace(String),
}

impl HasOutlook for PrivateImagesError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Verify(error) => error.outlook(),
            Self::Image(error) => error.outlook(),
            Self::Addresses(source) => source.outlook(),
            _ => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        match self {
            Self::Verify(error) => error.is_of_the_volume(),
            Self::Image(error) => error.is_of_the_volume(),
            _ => false,
        }
    }
}

/// The directory that CRIU is given. A private one is removed when this is dropped.
#[derive(Debug)]
pub struct PrivateImages {
    path: PathBuf,
    place: Place,
    locks: FileLocks,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the generation.
    Generation,
    /// In the container.
    Container,
    /// On the volume, beside what is staged.
    Volume,
}

/// What decides how the images are changed.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// Whether contents are compared with what was committed.
    verify: bool,
    /// What becomes of files that were changed.
    changed_files: ChangedFiles,
    /// How long what is not there yet is waited for.
    patience: Duration,
}

impl Wishes {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            verify: config.verify_hashes,
            changed_files: config.changed_files,
            patience: config.volume_timeout,
        }
    }

    /// Those of a trial: what was written a moment ago is what is there, and nobody waits for peers that a copy must not have.
    pub fn of_a_trial(config: &Config) -> Self {
        Self { verify: false, patience: Duration::ZERO, ..Self::of(config) }
    }
}

/// An image that is another one here: its name and contents.
type Changed = (&'static str, Vec<u8>);

impl PrivateImages {
    /// Makes the images of the generation in `path` fit this pod, where CRIU will do this with its connections; `work` makes a directory on the volume, for a container that has
    /// none. Blocks, until it is given up.
    ///
    /// # Errors
    /// They cannot be made to fit.
    pub fn prepare(
        generation: &GenerationImages,
        manifest: &Manifest,
        (wishes, connections): (Wishes, Connections),
        work: impl FnOnce() -> Result<PathBuf, ImageDirError>,
        headway: &Headway,
    ) -> Result<Self, PrivateImagesError> {
        let images = generation.path();
        let before = read(images, manifest, FILES_IMAGE, wishes.verify)?;
        let damaged = |what| images::damaged(images, what);
        let mut files = FilesImage::parse(&before).map_err(damaged)?;
        let now = addresses::own().map_err(PrivateImagesError::Addresses)?;
        let here = Addresses::between(&manifest.addresses, &now);
        if connections == Connections::Keep {
            loopback::close_others(&mut files, &here).map_err(damaged)?;
        }
        files.wind_up().map_err(damaged)?;
        here.put_into(&mut files)?;
        let unnamed = Unnamed {
            files: &images::unnamed(images)?,
            // The init is put back there, so files can be made.
            directory: manifest.tree.init.parent().unwrap_or(Path::new("/")),
        };
        kubelet_files::put_into(&mut files, &manifest.kubelet_files, &unnamed, wishes.changed_files)?;
        open_files::follow(&mut files, &manifest.volume_files, wishes.changed_files).map_err(damaged)?;
        datagram_peers::wait_for(&mut files, &manifest.datagram_peers, wishes.patience, headway)
            .map_err(damaged)?;
        let (after, mut locks) = (files.encode(), locks(images, manifest, wishes.verify)?);
        let (others, are_left_out) = (mem::take(&mut locks.others), !locks.is_empty());
        let changed = [(FILES_IMAGE, after != before, after), (LOCKS_IMAGE, are_left_out, others)];
        let changed: Vec<Changed> =
            changed.into_iter().filter_map(|(name, is, image)| is.then_some((name, image))).collect();
        if changed.is_empty() {
            return Ok(Self { path: images.to_owned(), place: Place::Generation, locks });
        }
        let mut made = Self::beside(images, &changed, work)?;
        made.locks = locks;
        Ok(made)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The locks that they leave out.
    pub fn locks(&self) -> &FileLocks {
        &self.locks
    }

    /// Makes a directory in the first place that can be written.
    fn beside(
        images: &Path,
        changed: &[Changed],
        work: impl FnOnce() -> Result<PathBuf, ImageDirError>,
    ) -> Result<Self, PrivateImagesError> {
        let mut tried = Vec::new();
        for place in limits::INIT_DIRECTORIES.iter().map(Path::new) {
            let made = Self::at(place, Place::Container);
            match made.fill(images, changed) {
                Ok(()) => return Ok(made),
                Err(error) => tried.push(format!("{} ({error})", place.display())),
            }
        }
        let last = work().map(|work| Self::at(&work, Place::Volume));
        let tried = |error: &dyn std::fmt::Display| {
            PrivateImagesError::NoPlace(format!("{}, the volume ({error})", tried.join(", ")))
        };
        let last = last.map_err(|error| tried(&error))?;
        last.fill(images, changed).map_err(|error| tried(&error))?;
        Ok(last)
    }

    fn at(directory: &Path, place: Place) -> Self {
        Self { path: directory.join(name()), place, locks: FileLocks::default() }
    }

    fn fill(&self, images: &Path, changed: &[Changed]) -> io::Result<()> {
        fs::create_dir_all(self.path.parent().unwrap_or(&self.path))?;
        DirBuilder::new().mode(0o700).create(&self.path)?;
        for (name, image) in changed {
            fs::write(self.path.join(name), image)?;
        }
        for entry in fs::read_dir(images)? {
            let name = entry?.file_name();
            if changed.iter().all(|(changed, _)| name != *changed) {
                symlink(images.join(&name), self.path.join(&name))?;
            }
        }
        Ok(())
    }
}

impl Drop for PrivateImages {
    fn drop(&mut self) {
        let path = mem::take(&mut self.path);
        match self.place {
            Place::Generation => {}
            Place::Container => remove(&path),
            // The tree may run, and nobody watches over it as long as this takes.
            Place::Volume => drop(thread::spawn(move || remove(path.parent().unwrap_or(&path)))),
        }
    }
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{} is left behind: {error}", path.display());
        }
        _ => {}
    }
}

/// The contents of the image of open files. They are compared before they are read, and what was compared is what is used.
fn read(images: &Path, manifest: &Manifest, image: &str, verify: bool) -> Result<Vec<u8>, VerifyError> {
    let name = format!("{}/{image}", layout::IMAGES);
    let unreadable = |source| VerifyError::Read { name: name.clone(), source };
    let file = no_links::file(images, Path::new(image)).map_err(unreadable)?;
    let bytes = images::read_bounded(file).map_err(unreadable)?;
    let digest = digest::hash_reader(&*bytes).map_err(unreadable)?;
    let known = manifest.files.get(&name);
    if verify && known.is_some_and(|known| *known != digest) {
        return Err(VerifyError::Altered { name });
    }
    Ok(bytes)
}

/// The locks of files; a tree without any has no image of them.
fn locks(images: &Path, manifest: &Manifest, verify: bool) -> Result<FileLocks, PrivateImagesError> {
    match read(images, manifest, LOCKS_IMAGE, verify) {
        Err(VerifyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(FileLocks::default())
        }
        image => Ok(FileLocks::parse(&image?)
            .map_err(|what| ImageError::Damaged { path: images.join(LOCKS_IMAGE), what })?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_changed_image_are_those_of_the_generation_and_nothing_is_left_behind() {
        let (images, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(images.path().join(FILES_IMAGE), "old").unwrap();
        fs::write(images.path().join("pages-1.img"), "pages").unwrap();
        let private = PrivateImages::beside(images.path(), &[(FILES_IMAGE, b"new".to_vec())], || {
            Ok(work.path().into())
        })
        .unwrap();
        let path = private.path().to_owned();
        assert_eq!(fs::read(path.join(FILES_IMAGE)).unwrap(), b"new");
        assert_eq!(fs::read(path.join("pages-1.img")).unwrap(), b"pages");
        assert!(path.join("pages-1.img").is_symlink());
        assert_eq!(fs::read(images.path().join(FILES_IMAGE)).unwrap(), b"old");
        drop(private);
        assert!(!path.exists());
    }
}
