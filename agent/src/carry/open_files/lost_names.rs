//! Gives files that a tree has open and that have lost their name one for as long as CRIU dumps them.
//!
//! CRIU would make a link of its own, for which it needs DAC_READ_SEARCH (linkat(2), AT_EMPTY_PATH), and which it removes after
//! the first restore. A file that has the name under which the kernel shows it, `a (deleted)`, is one like any other to it.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crik_store::generation::open_files::{DELETED, RENAMED};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

use super::volumes::{Next, Volumes};
use crate::tree::process::snapshot::Tree;

/// Files that have a name as long as this exists, which they had lost.
#[derive(Debug, Default)]
pub struct LostNames {
    pub(super) files: Vec<Lost>,
    /// Directories that were made for them, the innermost last.
    made: Vec<PathBuf>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Lost {
    /// The name that it has now.
    pub(super) name: PathBuf,
    /// Whether it has a name of NFS's besides.
    by_nfs: bool,
    /// What it was before it got one.
    pub(super) meta: Metadata,
    /// Whether the next pod has the other names that lead to it.
    pub(super) is_on_volume: bool,
}

impl LostNames {
    /// Gives a name to each file of `tree` that CRIU would otherwise have to link. A file that cannot be given one is left to
    /// CRIU, which says why it cannot be dumped.
    pub fn give(tree: &Tree) -> Self {
        let Ok(volumes) = Volumes::here() else { return Self::default() };
        let (mut names, mut seen) = (Self::default(), BTreeSet::new());
        for open in tree.0.iter().flat_map(|process| links(process.pid)) {
            let Some(file) = lost(&open, &volumes).filter(|file| seen.insert(file.name.clone())) else {
                continue;
            };
            let shown = file.name.clone();
            if let Err(error) = names.one(&open, file) {
                tracing::debug!("{} cannot be given a name: {error}", shown.display());
            }
        }
        names
    }

    /// The names, and the directories that were made for them.
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        self.files.iter().map(|file| file.name.clone()).chain(self.made.iter().cloned()).collect()
    }

    /// Whether `path` is one of them.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file.name == path)
    }

    fn one(&mut self, open: &Path, mut file: Lost) -> io::Result<()> {
        file.name = in_place_of_nfs(&file.name).unwrap_or(file.name);
        make_parents(&file.name, &mut self.made)?;
        set_aside_other(&file.name, &file.meta)?;
        linkat(AT_FDCWD, open, AT_FDCWD, &file.name, AtFlags::AT_SYMLINK_FOLLOW)?;
        self.files.push(file);
        Ok(())
    }
}

impl Lost {
    /// Whether other names lead to it than the one of NFS's.
    pub(super) fn has_other_names(&self) -> bool {
        self.meta.nlink() > u64::from(self.by_nfs)
    }
}

impl Drop for LostNames {
    fn drop(&mut self) {
        for file in self.files.drain(..) {
            if let Err(error) = fs::remove_file(&file.name) {
                tracing::warn!("{} is left behind: {error}", file.name.display());
            }
        }
        remove_parents(&mut self.made);
    }
}

/// The links to what a process has open or mapped.
fn links(pid: i32) -> impl Iterator<Item = PathBuf> {
    let directories = ["fd", "map_files"].map(|name| format!("/proc/{pid}/{name}"));
    let entries = directories.into_iter().flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten());
    entries.map(|entry| entry.path())
}

/// The name under which a file is shown that has lost it and still has another; in the writable layer CRIU carries such a file
/// whole.
fn lost(open: &Path, volumes: &Volumes) -> Option<Lost> {
    let shown = fs::read_link(open).ok()?;
    let text = shown.to_str().filter(|text| text.starts_with('/'))?;
    let kind = volumes.kind(&shown);
    let by_nfs = kind.starts_with("nfs") && digits_of_nfs(&shown).is_some();
    if volumes.next(&shown).1 == Next::Image && kind == "overlay" || !(by_nfs || text.ends_with(DELETED)) {
        return None;
    }
    let meta = fs::metadata(open).ok()?;
    let found = fs::symlink_metadata(&shown).ok();
    let has_it = found.is_some_and(|found| is_same(&found, &meta)) && !by_nfs;
    let wanted = meta.is_file() && meta.nlink() > 0 && !has_it;
    let is_on_volume = volumes.of(&shown).is_some();
    wanted.then_some(Lost { name: shown, by_nfs, meta, is_on_volume })
}

/// The name that a file has here which NFS has renamed to `name`; none if that is no name of NFS's.
fn in_place_of_nfs(name: &Path) -> Option<PathBuf> {
    digits_of_nfs(name).map(|digits| name.with_file_name(format!("{RENAMED}{digits}")))
}

/// The name under which CRIU sees what the kernel shows as `shown`.
pub(super) fn seen(shown: PathBuf) -> PathBuf {
    in_place_of_nfs(&shown).filter(|given| given.exists()).unwrap_or(shown)
}

/// As CRIU tells a name of NFS's: 24 hexadecimal digits after `.nfs` (fs/nfs/unlink.c).
pub(super) fn digits_of_nfs(path: &Path) -> Option<&str> {
    let digits = path.file_name()?.to_str()?.strip_prefix(".nfs")?;
    (digits.len() == 24 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

pub(super) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Makes the directories above `path` that are missing, and notes them.
pub(super) fn make_parents(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing = path.ancestors().skip(1).take_while(|above| !above.exists());
    for above in missing.map(Path::to_owned).collect::<Vec<_>>().into_iter().rev() {
        fs::create_dir(&above)?;
        made.push(above);
    }
    Ok(())
}

/// Removes the directories that were made, unless something is in them by now.
pub(super) fn remove_parents(made: &mut Vec<PathBuf>) {
    for path in made.drain(..).rev() {
        let _ = fs::remove_dir(path);
    }
}

/// An agent that was killed may have left the name of another file behind, which would block this one for ever. What it is
/// nobody knows, so it is kept.
pub(super) fn set_aside_other(name: &Path, wanted: &Metadata) -> io::Result<()> {
    match fs::symlink_metadata(name) {
        Ok(found) if !is_same(&found, wanted) => set_aside(name, found.ino()),
        _ => Ok(()),
    }
}

pub(super) fn set_aside(name: &Path, number: u64) -> io::Result<()> {
    let mut aside = name.as_os_str().to_owned();
    aside.push(format!(".{number}"));
    tracing::warn!("{} is in the way and is renamed to {}", name.display(), aside.display());
    fs::rename(name, aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nfs_are_told_as_criu_tells_them() {
        let digits = digits_of_nfs(Path::new("/data/.nfs000000000123abcd00000001"));
        assert_eq!(digits, Some("000000000123abcd00000001"));
        for path in ["/data/.nfs1", "/data/nfs000000000123abcd00000001", "/data/.nfs000000000123abcg00000001"]
        {
            assert_eq!(digits_of_nfs(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn directories_that_were_made_go_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut made = Vec::new();
        make_parents(&dir.path().join("a/b/file"), &mut made).unwrap();
        assert!(dir.path().join("a/b").is_dir());
        remove_parents(&mut made);
        assert!(!dir.path().join("a").exists() && dir.path().exists());
    }
}
