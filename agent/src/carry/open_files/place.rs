//! Gives the files of a generation that have no name theirs for as long as CRIU restores them.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crik_store::generation::open_files::{DELETED, Kept, UnnamedFile};
use crik_store::generation::parts::Parts;
use crik_store::image_dir::layout;

use super::error::{OpenFileError, io_at};
use super::lost_names::{is_same, make_parents, remove_parents, set_aside};

/// Names that files have as long as this exists.
#[derive(Debug, Default)]
pub struct Placed {
    names: Vec<PathBuf>,
    /// Directories that were made for them, the innermost last.
    made: Vec<PathBuf>,
}

/// Gives each of `files`, which are kept with a generation, the name under which CRIU opens it.
///
/// # Errors
/// One is not there any more, or the name cannot be made.
pub fn place(files: &[UnnamedFile], parts: &Parts) -> Result<Placed, OpenFileError> {
    let (mut placed, mut copies) = (Placed::default(), BTreeMap::new());
    for file in files {
        placed.one(file, parts, &mut copies).map_err(io_at("give back its name to", &file.name))?;
    }
    Ok(placed)
}

impl Placed {
    fn one(
        &mut self,
        file: &UnnamedFile,
        parts: &Parts,
        copies: &mut BTreeMap<String, PathBuf>,
    ) -> io::Result<()> {
        make_parents(&file.name, &mut self.made)?;
        match &file.kept {
            Kept::Linked(name) => link(&parts.path().join(layout::LINKS).join(name), &file.name)?,
            Kept::Named(other) => link(other, &file.name)?,
            Kept::Copied(name) => match copies.get(name) {
                Some(first) => link(first, &file.name)?,
                None => {
                    copy(file, parts, name)?;
                    copies.insert(name.clone(), file.name.clone());
                }
            },
        }
        self.names.push(file.name.clone());
        Ok(())
    }

    /// Takes the names away again from files that are open by now. Each gets the name before that it once had, if that is free,
    /// so that the kernel shows it as it did and it does not become longer at each move.
    pub fn take_away(&mut self) {
        for name in self.names.drain(..) {
            let last = bare(&name).into_iter().find(|bare| rename_if_free(&name, bare).is_ok());
            remove(last.as_deref().unwrap_or(&name));
        }
        remove_parents(&mut self.made);
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.names.drain(..).for_each(|name| remove(&name));
        remove_parents(&mut self.made);
    }
}

fn remove(name: &Path) {
    if let Err(error) = fs::remove_file(name) {
        tracing::warn!("{} is left behind: {error}", name.display());
    }
}

/// The name without what the kernel has added, and then some that are like it.
fn bare(name: &Path) -> Vec<PathBuf> {
    let Some(bare) = name.to_str().and_then(|name| name.strip_suffix(DELETED)) else { return Vec::new() };
    let others = (1..10).map(|number| format!("{bare}.{number}").into());
    std::iter::once(bare.into()).chain(others).collect()
}

/// rename(2) that replaces nothing.
fn rename_if_free(from: &Path, to: &Path) -> io::Result<()> {
    let [from, to] = [from, to].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (from, to) = (from?, to?);
    // SAFETY: renameat2(2) reads two paths, which live until it returns.
    let renamed = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if renamed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Links `from` to `to`; what is in the way, left by an agent that was killed, is set aside unless it is the same.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    let wanted = fs::symlink_metadata(from)?;
    if !wanted.is_file() {
        return Err(io::Error::other(format!("{} is no regular file", from.display())));
    }
    match fs::symlink_metadata(to) {
        Ok(found) if is_same(&found, &wanted) => return Ok(()),
        Ok(found) => set_aside(to, found.ino())?,
        Err(_) => {}
    }
    fs::hard_link(from, to)
}

/// A fresh copy for each restore: the tree writes to it.
fn copy(file: &UnnamedFile, parts: &Parts, name: &str) -> io::Result<()> {
    if let Ok(found) = fs::symlink_metadata(&file.name) {
        set_aside(&file.name, found.ino())?;
    }
    let mut source = parts.open(&format!("{}/{name}", layout::UNNAMED))?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.name)?;
    let made = io::copy(&mut source, &mut target).map(|_| finish(file, &target));
    made.inspect_err(|_| remove(&file.name))
}

/// Owner first, since to change it clears the set-id bits of the mode. A volume may keep neither, and the file is open by then.
fn finish(file: &UnnamedFile, target: &File) {
    let owned = chown(&file.name, Some(file.uid), Some(file.gid));
    let moded = target.set_permissions(Permissions::from_mode(file.mode & 0o7777));
    if let Err(error) = owned.and(moded) {
        tracing::debug!("{} keeps its owner or its mode: {error}", file.name.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unnamed(name: PathBuf, kept: Kept) -> UnnamedFile {
        UnnamedFile { name, kept, mode: 0o100_640, uid: 0, gid: 0 }
    }

    #[test]
    fn names_are_there_only_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let (generation, data) = (dir.path().join("generation"), dir.path().join("data"));
        for path in [generation.join(layout::UNNAMED), generation.join(layout::LINKS), data.clone()] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(generation.join("unnamed/0"), "copied").unwrap();
        fs::write(data.join("b"), "linked").unwrap();
        fs::hard_link(data.join("b"), generation.join("links/1")).unwrap();
        // Another file has the name by now.
        fs::write(data.join("a"), "other").unwrap();
        let names = ["gone/x (deleted)", "y (deleted)", "a (deleted)"].map(|name| data.join(name));
        let files = [
            unnamed(names[0].clone(), Kept::Copied("0".to_owned())),
            unnamed(names[1].clone(), Kept::Copied("0".to_owned())),
            unnamed(names[2].clone(), Kept::Linked("1".to_owned())),
        ];
        for way in ["taken away", "dropped"] {
            let mut placed = place(&files, &Parts::new(&generation, None)).unwrap();
            assert_eq!(fs::read_to_string(&names[1]).unwrap(), "copied");
            let inodes = names.each_ref().map(|name| fs::metadata(name).unwrap().ino());
            assert_eq!(inodes[0], inodes[1]);
            assert_eq!(inodes[2], fs::metadata(data.join("b")).unwrap().ino());
            if way == "taken away" {
                placed.take_away();
            }
            drop(placed);
            let mut left: Vec<_> =
                fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["a", "b"], "{way}");
            assert_eq!(fs::read_to_string(data.join("a")).unwrap(), "other");
        }
    }

    #[test]
    fn a_name_does_not_grow_at_each_move() {
        let names = bare(Path::new("/data/a (deleted)"));
        assert_eq!(names[..2], [PathBuf::from("/data/a"), PathBuf::from("/data/a.1")]);
        assert!(bare(Path::new("/data/crik-open.77")).is_empty());
    }
}
