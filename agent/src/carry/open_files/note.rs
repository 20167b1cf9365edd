//! Notes which files of volumes a frozen tree has open or mapped, and how long they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crik_store::generation::open_files::{Access, VolumeFile};

use super::lost_names::{is_same, seen};
use super::volumes::Volumes;
use crate::carry::kubelet_files;
use crate::tree::process::fd_info::FdInfo;
use crate::tree::process::snapshot::Tree;

/// What was noted.
pub struct Noted {
    /// The files of volumes that are open or mapped.
    pub on_volumes: Vec<VolumeFile>,
    /// All files that are open, wherever they are, with device and inode.
    pub named: BTreeMap<PathBuf, (u64, u64)>,
}

/// The files that `tree` has under a name; those without one are another matter, and so are names that are not UTF-8, which no
/// manifest can tell. What the kubelet writes has its own account. The tree must be frozen.
///
/// # Errors
/// The mounts cannot be read.
pub fn note(tree: &Tree) -> io::Result<Noted> {
    let volumes = Volumes::here()?;
    let mut found: BTreeMap<PathBuf, VolumeFile> = BTreeMap::new();
    let mut named = BTreeMap::new();
    for process in &tree.0 {
        let open = open(process.pid).inspect(|(path, meta, _)| {
            named.insert(path.clone(), (meta.dev(), meta.ino()));
        });
        for (path, meta, access) in open.chain(mapped(process.pid)) {
            if volumes.of(&path).is_none() || !can_be_told(&path) {
                continue;
            }
            let file = found.entry(path.clone()).or_insert_with(|| described(path, &meta));
            file.access = file.access.max(access);
        }
    }
    named.retain(|path, _| can_be_told(path));
    Ok(Noted { on_volumes: found.into_values().collect(), named })
}

fn can_be_told(path: &Path) -> bool {
    path.to_str().is_some() && !kubelet_files::is_one(path)
}

/// The files that a process has open for writing under a name.
pub fn written(pid: i32) -> BTreeSet<PathBuf> {
    open(pid).filter(|(_, _, access)| *access > Access::Execute).map(|(path, ..)| path).collect()
}

fn described(path: PathBuf, meta: &Metadata) -> VolumeFile {
    VolumeFile { path, size: meta.len(), modified: modified(meta), access: Access::Read }
}

/// When the contents of a file were last changed, in nanoseconds since 1970.
pub(super) fn modified(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

/// Of a file: its name, what is known of it and what can be done with it.
type Seen = (PathBuf, Metadata, Access);

fn open(pid: i32) -> impl Iterator<Item = Seen> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let path = seen(fs::read_link(entry.path()).ok()?);
        let meta = named(&entry.path(), &path)?;
        Some((path, meta, access(FdInfo::of(pid, entry.file_name()).ok()?.flags()?)))
    })
}

/// The regular file that `open` leads to, if `path` is its name.
fn named(open: &Path, path: &Path) -> Option<Metadata> {
    let (open, named) = (fs::metadata(open).ok()?, fs::symlink_metadata(path).ok()?);
    (open.is_file() && is_same(&open, &named)).then_some(open)
}

/// What can be done with a file that was opened with these flags.
fn access(flags: i32) -> Access {
    match flags & libc::O_ACCMODE {
        libc::O_WRONLY if flags & libc::O_APPEND != 0 => Access::Append,
        libc::O_WRONLY | libc::O_RDWR => Access::Write,
        _ => Access::Read,
    }
}

/// The paths of files that a process has mapped.
pub(super) fn mapped_paths(pid: i32) -> BTreeSet<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter_map(mapping).map(|(path, _)| path).collect()
}

fn mapped(pid: i32) -> impl Iterator<Item = Seen> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mut found: BTreeMap<PathBuf, Access> = BTreeMap::new();
    for (path, access) in maps.lines().filter_map(mapping) {
        found.entry(path).and_modify(|known| *known = access.max(*known)).or_insert(access);
    }
    found.into_iter().filter_map(|(path, access)| {
        let path = seen(path);
        let meta = fs::symlink_metadata(&path).ok().filter(Metadata::is_file)?;
        Some((path, meta, access))
    })
}

/// The file of a line in /proc/PID/maps, after five fields, and what is done with it: what is written to shared memory goes there.
fn mapping(line: &str) -> Option<(PathBuf, Access)> {
    let mut fields = line.splitn(6, ' ');
    let permissions = fields.nth(1)?;
    let path = fields.nth(3)?.trim_start();
    let access = match permissions.as_bytes() {
        [_, b'w', _, b's'] => Access::Write,
        [_, _, b'x', _] => Access::Execute,
        _ => Access::Read,
    };
    path.starts_with('/').then(|| (path.into(), access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_with_a_file_is_told_by_its_flags() {
        for (flags, expected) in [
            (libc::O_RDONLY | libc::O_NONBLOCK, Access::Read),
            (libc::O_WRONLY, Access::Write),
            (libc::O_WRONLY | libc::O_APPEND, Access::Append),
            (libc::O_RDWR | libc::O_APPEND, Access::Write),
        ] {
            assert_eq!(access(flags), expected, "{flags:o}");
        }
    }

    #[test]
    fn a_mapping_tells_its_file() {
        let line = "7f1a2000-7f1a3000 rw-s 00000000 fe:00 1234                       /data/a file.db";
        assert_eq!(mapping(line), Some(("/data/a file.db".into(), Access::Write)));
        for (permissions, access) in
            [("rw-p", Access::Read), ("r-xp", Access::Execute), ("r--s", Access::Read)]
        {
            let line = format!("7f1a2000-7f1a3000 {permissions} 00000000 fe:00 1234       /lib/libc.so.6");
            assert_eq!(mapping(&line), Some(("/lib/libc.so.6".into(), access)));
        }
        assert_eq!(mapping("7ffd000-7ffe000 rw-p 00000000 00:00 0                          [stack]"), None);
        assert_eq!(mapping("7ffd000-7ffe000 rw-p 00000000 00:00 0 "), None);
    }
}
