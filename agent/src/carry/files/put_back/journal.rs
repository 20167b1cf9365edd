//! What was done to the container's files, so that it can be undone: a generation that cannot be resumed after all must leave
//! nothing of itself to the next one, nor to a fresh start.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crik_store::backend::durable::ignore_missing;

use super::attributes::apply;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::carry::files::holes::extent;
use crate::carry::files::list::Attributes;
use crate::carry::files::mounts::Mounts;
use crate::carry::left_overs;

/// One thing that was done.
enum Done {
    /// Something was made where nothing was.
    Made(PathBuf),
    /// Something was moved away.
    Moved { from: PathBuf, to: PathBuf },
    /// A file was copied away and removed.
    Copied { from: PathBuf, to: PathBuf, attributes: Attributes },
    /// An empty directory was removed.
    Removed { path: PathBuf, attributes: Attributes },
    /// A directory gets, or has got, other attributes.
    Changed { path: PathBuf, attributes: Attributes },
}

/// Where what was moved away from a mount lies.
struct Aside {
    mount: PathBuf,
    path: PathBuf,
    /// As long as it is locked, nobody takes it for a left-over.
    _lock: File,
}

/// All that was done, in its order. Undone when it is dropped, unless it is kept.
#[derive(Default)]
pub struct Journal {
    done: Vec<Done>,
    /// Where what was moved away lies, by the mount that it was in.
    aside: Vec<Aside>,
    next: usize,
    headway: Arc<Headway>,
}

impl Journal {
    /// Of a step that may be given up.
    pub fn of(headway: &Arc<Headway>) -> Self {
        Self { done: Vec::new(), aside: Vec::new(), next: 0, headway: Arc::clone(headway) }
    }

    /// Notes that `path` is made, to be called once it is.
    pub fn made(&mut self, path: &Path) {
        self.done.push(Done::Made(path.into()));
    }

    /// Notes what the directory at `path` has before it is changed.
    ///
    /// # Errors
    /// It is not there.
    pub fn changing(&mut self, path: &Path) -> io::Result<Attributes> {
        let attributes = Attributes::of(path, &path.symlink_metadata()?);
        self.done.push(Done::Changed { path: path.into(), attributes: attributes.clone() });
        Ok(attributes)
    }

    /// Moves away what is at `path`, which is no directory. What lies in memory is copied to the layer: kept there beside what is
    /// put back it would need twice its room, which counts in the container's limit.
    ///
    /// # Errors
    /// The file system cannot be written.
    pub fn move_away(&mut self, path: &Path, mounts: &Mounts) -> io::Result<()> {
        let (mount, meta) = (mounts.of(path), path.symlink_metadata()?);
        let in_memory = mounts.at(mount).is_some_and(|mount| mount.kind == "tmpfs");
        if in_memory && meta.is_file() && meta.nlink() == 1 && self.copy_away(path, &meta, mounts).is_ok() {
            return Ok(());
        }
        let to = self.place(path, mounts)?;
        fs::rename(path, &to)?;
        self.done.push(Done::Moved { from: path.into(), to });
        Ok(())
    }

    fn copy_away(&mut self, path: &Path, meta: &Metadata, mounts: &Mounts) -> io::Result<()> {
        let (to, attributes) = (self.place(Path::new("/"), mounts)?, Attributes::of(path, meta));
        copy(path, &to)?;
        fs::remove_file(path)?;
        self.done.push(Done::Copied { from: path.into(), to, attributes });
        Ok(())
    }

    /// A name for one thing more in the same mount as `path`.
    fn place(&mut self, path: &Path, mounts: &Mounts) -> io::Result<PathBuf> {
        self.next += 1;
        Ok(self.aside(path, mounts)?.join(self.next.to_string()))
    }

    /// Removes the directory at `path` if nothing is in it.
    ///
    /// # Errors
    /// The file system cannot be written.
    pub fn remove_directory(&mut self, path: &Path) -> io::Result<()> {
        let attributes = Attributes::of(path, &path.symlink_metadata()?);
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
            other => other?,
        }
        self.done.push(Done::Removed { path: path.into(), attributes });
        Ok(())
    }

    /// Whether what was moved away lies in `path`.
    pub fn is_aside(&self, path: &Path) -> bool {
        self.aside.iter().any(|aside| aside.path == path)
    }

    /// A directory in the same mount as `path`, since a rename cannot leave it.
    fn aside(&mut self, path: &Path, mounts: &Mounts) -> io::Result<PathBuf> {
        let mount = mounts.of(path);
        if let Some(aside) = self.aside.iter().find(|aside| aside.mount == mount) {
            return Ok(aside.path.clone());
        }
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let own = limits::INIT_DIRECTORIES.map(Path::new).into_iter().filter(|own| mounts.of(own) == mount);
        // An ordinary user can write to few of them, and where the name is that is moved away.
        for parent in own.chain([mount]).chain(path.parent()) {
            match self.aside_in(parent, mount) {
                Err(error) => last = error,
                made => return made,
            }
        }
        Err(last)
    }

    fn aside_in(&mut self, parent: &Path, mount: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(parent)?;
        sweep(parent);
        // Another container of the pod may be at it too.
        for number in 0_u32.. {
            let path = parent.join(format!("{}{number}", limits::ASIDE));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            if let Some(lock) = left_overs::lock_directory(&path)? {
                self.aside.push(Aside { mount: mount.into(), path: path.clone(), _lock: lock });
                return Ok(path);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Lets what was done stay, and tells of each thing that was made whether something had been there.
    pub fn keep(mut self) -> impl Iterator<Item = (PathBuf, bool)> {
        let (mut had, mut made) = (HashSet::new(), Vec::new());
        for done in self.done.drain(..) {
            match done {
                Done::Moved { from, .. } | Done::Copied { from, .. } => drop(had.insert(from)),
                Done::Made(path) => made.push(path),
                Done::Removed { .. } | Done::Changed { .. } => {}
            }
        }
        made.into_iter().map(move |path| (path.clone(), had.contains(&path)))
    }

    fn undo(&mut self) {
        while let Some(done) = self.done.pop() {
            let (Done::Made(path)
            | Done::Moved { from: path, .. }
            | Done::Copied { from: path, .. }
            | Done::Removed { path, .. }
            | Done::Changed { path, .. }) = &done;
            if let Err(error) = undo(&done) {
                tracing::warn!("{} cannot be made what it was before: {error}", path.display());
            }
        }
    }
}

fn undo(done: &Done) -> io::Result<()> {
    match done {
        Done::Made(path) => {
            let directory = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            ignore_missing(if directory { fs::remove_dir_all(path) } else { fs::remove_file(path) })
        }
        Done::Moved { from, to } => fs::rename(to, from),
        Done::Copied { from, to, attributes } => copy(to, from).and_then(|()| apply(from, attributes)),
        Done::Removed { path, attributes } => fs::create_dir(path).and_then(|()| apply(path, attributes)),
        Done::Changed { path, attributes } => apply(path, attributes),
    }
}

/// Copies a file without its holes.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let source = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(from)?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let size = source.metadata()?.len();
    let mut at = 0;
    while let Some((offset, end)) = extent(&source, at, size)? {
        (&source).seek(SeekFrom::Start(offset))?;
        (&target).seek(SeekFrom::Start(offset))?;
        io::copy(&mut (&source).take(end - offset), &mut &target)?;
        at = end;
    }
    target.set_len(size)
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Another tree may run by now, and have written to the same places.
        if self.headway.is_disowned() {
            return;
        }
        self.undo();
        for Aside { path, .. } in &self.aside {
            if let Err(error) = remove_unseen(path) {
                tracing::warn!("{} is left behind: {error}", path.display());
            }
        }
    }
}

/// Removes what an agent has left aside in a directory that was killed while it put files back.
pub fn sweep(directory: &Path) {
    for path in left_overs::named(directory, limits::ASIDE) {
        // Locked until it is gone.
        let Some(_lock) = left_overs::abandoned(&path) else { continue };
        match remove_unseen(&path) {
            Ok(()) => tracing::info!(step = "carry", "{} was left behind and is removed", path.display()),
            Err(error) => tracing::warn!("{} was left behind and cannot be removed: {error}", path.display()),
        }
    }
}

/// Removes what lies aside, and gives the directory that it is in the times that it had.
fn remove_unseen(aside: &Path) -> io::Result<()> {
    let parent = aside.parent().unwrap_or(aside);
    let attributes = Attributes::of(parent, &parent.symlink_metadata()?);
    fs::remove_dir_all(aside)?;
    apply(parent, &attributes)
}
