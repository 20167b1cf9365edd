//! What processes watch by inotify(7) and fanotify(7), as the kernel shows it (proc(5), `/proc/PID/fdinfo`).

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::fd_info::FdInfo;

/// A file or a directory, as the kernel names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inode {
    /// Its file system's device as the kernel has it: the minor number in the lower 20 bits, the major one above.
    pub device: u32,
    /// Its number there.
    pub number: u64,
}

impl Inode {
    /// That of a file that was looked at.
    pub fn of(meta: &Metadata) -> Self {
        let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
        Self { device: major << 20 | minor, number: meta.ino() }
    }
}

/// What the process watches. Marks of whole mounts and file systems are left out: they have no path.
pub fn watched(pid: i32) -> BTreeSet<Inode> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let notifies = open.filter(|open| fs::read_link(open.path()).is_ok_and(|what| is_notify(&what)));
    let told = notifies.filter_map(|open| FdInfo::of(pid, open.file_name()).ok());
    told.flat_map(|told| told.lines().filter_map(parse).collect::<Vec<_>>()).collect()
}

fn is_notify(what: &Path) -> bool {
    what == Path::new("anon_inode:inotify") || what == Path::new("anon_inode:[fanotify]")
}

fn parse(line: &str) -> Option<Inode> {
    let line = line.strip_prefix("inotify ").or_else(|| line.strip_prefix("fanotify "))?;
    let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name));
    Some(Inode {
        device: u32::from_str_radix(field("sdev:")?, 16).ok()?,
        number: u64::from_str_radix(field("ino:")?, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

    use super::*;

    #[test]
    fn what_the_kernel_shows_of_a_watch_is_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
        for path in [dir.path(), &file] {
            inotify.add_watch(path, AddWatchFlags::IN_MODIFY).unwrap();
        }
        let found = watched(std::process::id().cast_signed());
        for path in [dir.path(), &file] {
            assert!(found.contains(&Inode::of(&fs::metadata(path).unwrap())), "{found:?}");
        }
    }

    #[test]
    fn marks_of_mounts_are_no_files() {
        let mark = "fanotify ino:2 sdev:800013 mflags:0 mask:3b ignored_mask:40000000 fhandle-bytes:8";
        assert_eq!(parse(mark), Some(Inode { device: 0x80_0013, number: 2 }));
        for other in ["fanotify flags:10 event-flags:0", "fanotify mnt_id:12 mflags:0 mask:3b", "pos:\t0"] {
            assert_eq!(parse(other), None);
        }
    }
}
