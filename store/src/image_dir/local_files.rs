//! The files of an image directory in a bucket, for as long as somebody works with them: what is staged before it is committed, and what a
//! generation consists of beside its packs, which is small. On a volume they are where they are.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::backend::durable::remove_tree;
use crate::backend::{Backend, Listed, Name};
use crate::base::limits;
use crate::base::nonce::nonce;
use crate::base::panics::locked;
use crate::image_dir::layout;

/// How such directories begin: as all that crik has for itself for a while, which does not go along with a checkpoint and which a restore
/// leaves alone.
const PREFIX: &str = ".crik-images-bucket-";

/// A directory of this container's own, which is removed when this is dropped.
#[derive(Debug)]
pub struct LocalFiles {
    root: PathBuf,
    /// The generations that are here, each with the number of its directory in the bucket.
    here: Mutex<BTreeMap<Name, u64>>,
}

impl Drop for LocalFiles {
    fn drop(&mut self) {
        let _ = remove_tree(&self.root);
    }
}

impl LocalFiles {
    /// Makes one in `place`, which must be on this machine.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn make(place: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(place)?;
        let root = place.join(format!("{PREFIX}{}", nonce()?));
        DirBuilder::new().mode(0o700).create(&root)?;
        Ok(Self { root, here: Mutex::default() })
    }

    /// Where what has this name is.
    pub fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.as_path())
    }

    /// Makes a directory, with those that it is in.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn make_directory(&self, name: &Name) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.path(name))
    }

    /// Removes what has this name.
    pub fn remove(&self, name: &Name) {
        locked(&self.here).remove(name);
        let _ = remove_tree(&self.path(name));
    }

    /// Brings a directory of the bucket here, unless it is.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn bring(&self, backend: &dyn Backend, name: &Name) -> io::Result<()> {
        let identity = backend.look(name)?.identity;
        let mut here = locked(&self.here);
        if here.get(name) == Some(&identity) {
            return Ok(());
        }
        here.remove(name);
        remove_tree(&self.path(name))?;
        self.copy_directory(backend, name)?;
        here.insert(name.clone(), identity);
        Ok(())
    }

    fn copy_directory(&self, backend: &dyn Backend, name: &Name) -> io::Result<()> {
        self.make_directory(name)?;
        for Listed { name: part, is_directory } in backend.list(name)? {
            let name = name.join(&part);
            if is_directory {
                self.copy_directory(backend, &name)?;
            } else {
                self.copy_file(backend, &name)?;
            }
        }
        Ok(())
    }

    fn copy_file(&self, backend: &dyn Backend, name: &Name) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(name))?;
        copy_out(backend, name, &mut file)
    }

    /// Sends what is in a directory, which is in the bucket already with its packs.
    ///
    /// # Errors
    /// It cannot be read here, or not be written there.
    pub fn send(&self, backend: &dyn Backend, name: &Name) -> io::Result<()> {
        for entry in fs::read_dir(self.path(name))? {
            let entry = entry?;
            let part = entry.file_name();
            let part = part.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
            let (name, kind) = (name.join(part), entry.file_type()?);
            // Links are of a volume, and there is none.
            if kind.is_dir() && part != layout::LINKS {
                backend.make_all(&name)?;
                self.send(backend, &name)?;
            } else if kind.is_file() {
                self.send_file(backend, &name)?;
            }
        }
        Ok(())
    }

    /// Sends a file.
    ///
    /// # Errors
    /// It cannot be read here, or not be written there.
    pub fn send_file(&self, backend: &dyn Backend, name: &Name) -> io::Result<()> {
        let path = self.path(name);
        if path.metadata()?.len() <= limits::PART_BYTES as u64 {
            return backend.create(name, &fs::read(path)?);
        }
        let (mut file, mut sink) = (File::open(path)?, backend.begin(name)?);
        let mut piece = vec![0; limits::BLOCK_BYTES];
        loop {
            match io::Read::read(&mut file, &mut piece)? {
                0 => return sink.finish(),
                read => sink.write(&piece[..read])?,
            }
        }
    }
}

/// Writes a file of an image directory to `to`.
///
/// # Errors
/// It is not there or cannot be read; or `to` does not take it.
pub fn copy_out(backend: &dyn Backend, name: &Name, to: &mut dyn io::Write) -> io::Result<()> {
    let source = match backend.open(name) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return to.write_all(&backend.read(name, limits::INLINE_MAX_BYTES as u64)?);
        }
        source => source?,
    };
    let (mut at, bytes) = (0, source.bytes()?);
    let mut piece = vec![0; limits::BLOCK_BYTES];
    while at < bytes {
        let piece = &mut piece[..usize::try_from(bytes - at).unwrap_or(usize::MAX).min(limits::BLOCK_BYTES)];
        source.read_exact_at(piece, at)?;
        to.write_all(piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}
