//! Where in the container the files are that go along: its writable layer, memory, emptyDirs, and what the user names.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mounts::{Mount, Mounts};
use crate::base::limits;
use crate::config::Carry;

/// A directory or a file whose contents go along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its path in the container.
    pub path: PathBuf,
    /// What it is.
    pub kind: PlaceKind,
}

/// What a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlaceKind {
    /// The container's writable layer, of which only what has changed goes along.
    Layer,
    /// A file system in memory.
    Memory,
    /// An emptyDir.
    EmptyDir,
    /// One that the user names.
    Additional,
    /// A file of crik's own that the tree has mapped.
    Own,
}

impl PlaceKind {
    /// As logs call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layer => "the container's layer",
            Self::Memory => "memory",
            Self::EmptyDir => "emptyDirs",
            Self::Additional => "additionalPaths",
            Self::Own => "crik itself",
        }
    }

    /// Whether it goes along because somebody has named it, and nothing in it is spared.
    pub fn is_named(self) -> bool {
        matches!(self, Self::Additional | Self::Own)
    }
}

/// All places of this container, with those that the user names at the end, so that they have the last word.
pub fn places(mounts: &Mounts, carry: &Carry, additional: &[PathBuf], own: &[PathBuf]) -> Vec<Place> {
    let layer = carry.layer && mounts.at(Path::new("/")).is_some_and(|root| !root.read_only);
    let layer = layer.then(|| Place { path: "/".into(), kind: PlaceKind::Layer });
    let mut seen = BTreeSet::new();
    let mounted = mounts.iter().filter_map(|(path, mount)| {
        let kind = kind(path, mount)?;
        let wanted = if kind == PlaceKind::Memory { carry.memory } else { carry.empty_dirs };
        // What is mounted at several paths goes along once.
        let meta = path.symlink_metadata().ok()?;
        (wanted && seen.insert((meta.dev(), meta.ino()))).then(|| Place { path: path.into(), kind })
    });
    let named = additional.iter().map(|path| Place { path: path.clone(), kind: PlaceKind::Additional });
    let own = own.iter().map(|path| Place { path: path.clone(), kind: PlaceKind::Own });
    layer.into_iter().chain(mounted).chain(named).chain(own).collect()
}

/// What kind of place a mount is, if its contents are the pod's own and last no longer than it.
pub fn kind(path: &Path, mount: &Mount) -> Option<PlaceKind> {
    if mount.read_only || ["/proc", "/sys"].iter().any(|not| path.starts_with(not)) {
        return None;
    }
    if mount.root.to_string_lossy().contains(limits::EMPTY_DIR) {
        return Some(PlaceKind::EmptyDir);
    }
    let own =
        mount.kind == "tmpfs" && is_of_the_pod(path, mount, mode(path)?) && !path.join("..data").is_symlink();
    own.then_some(PlaceKind::Memory)
}

/// Where a part of a memory file system is seen that may be an emptyDir's (`subPath`) or a directory of the node's (hostPath):
/// by nothing could one tell which, and so it stays behind.
pub fn unclear(mounts: &Mounts) -> impl Iterator<Item = &Path> {
    let found = mounts.iter().filter(|(path, mount)| {
        mode(path).is_some_and(|mode| may_be_of_the_pod(mount, mode)) && kind(path, mount).is_none()
    });
    found.map(|(path, _)| path)
}

fn mode(path: &Path) -> Option<u32> {
    Some(path.symlink_metadata().ok()?.mode() & (libc::S_IFMT | 0o7777))
}

fn may_be_of_the_pod(mount: &Mount, mode: u32) -> bool {
    let part = mount.root != Path::new("/");
    mount.kind == "tmpfs" && part && !mount.read_only && is_as_the_kubelet_makes_it(mode)
}

/// pkg/volume/emptydir, `perm`, which pkg/volume/util/subpath has for what it makes in one; with an `fsGroup` also its bit.
fn is_as_the_kubelet_makes_it(mode: u32) -> bool {
    mode & !libc::S_ISGID == libc::S_IFDIR | 0o777
}

/// Whether a memory file system is the pod's and not its node's, to which a hostPath may lead: an emptyDir is the whole of one
/// that all may write to without a sticky bit; /dev/shm is the sandbox's, which a runtime gives a
/// size, unless the pod shares the node's IPC namespace.
fn is_of_the_pod(path: &Path, mount: &Mount, mode: u32) -> bool {
    let whole = mount.root == Path::new("/");
    let of_the_host =
        || fs::read_link("/proc/self/ns/ipc").is_ok_and(|own| own == Path::new(limits::HOST_IPC));
    let of_the_sandbox = || {
        path == Path::new("/dev/shm")
            && mount.options.split(',').any(|word| word.starts_with("size="))
            && !of_the_host()
    };
    whole && (is_as_the_kubelet_makes_it(mode) || of_the_sandbox())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tmpfs(root: &str) -> Mount {
        Mount { root: root.into(), kind: "tmpfs".into(), read_only: false, options: "rw,size=64k".into() }
    }

    #[test]
    fn an_empty_dir_in_memory_is_told_from_the_nodes_run() {
        let is =
            |path: &str, root: &str, mode| is_of_the_pod(Path::new(path), &tmpfs(root), libc::S_IFDIR | mode);
        assert!(is("/cache", "/", 0o777) && is("/cache", "/", 0o2777));
        assert!(!is("/run", "/", 0o755) && !is("/tmp", "/", 0o1777) && !is("/run/docker", "/docker", 0o777));
        let unsized_shm = Mount { options: "rw,inode64".into(), ..tmpfs("/") };
        assert!(!is_of_the_pod(Path::new("/dev/shm"), &unsized_shm, libc::S_IFDIR | 0o1777));
    }

    #[test]
    fn a_part_that_all_may_write_to_may_be_an_empty_dirs() {
        let may = |root: &str, mode| may_be_of_the_pod(&tmpfs(root), libc::S_IFDIR | mode);
        assert!(may("/sub", 0o777) && may("/sub/sub", 0o2777));
        assert!(!may("/", 0o777) && !may("/docker", 0o755) && !may("/tmp", 0o1777));
        assert!(!may_be_of_the_pod(&tmpfs("/resolv.conf"), libc::S_IFREG | 0o777));
        assert!(!may_be_of_the_pod(&Mount { read_only: true, ..tmpfs("/sub") }, libc::S_IFDIR | 0o777));
        assert!(!may_be_of_the_pod(&Mount { kind: "ext4".into(), ..tmpfs("/sub") }, libc::S_IFDIR | 0o777));
    }

    #[test]
    fn an_empty_dir_is_known_by_the_kubelets_name_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let mount = |root: &str, read_only| Mount {
            root: root.into(),
            kind: "ext4".into(),
            read_only,
            options: String::new(),
        };
        let empty_dir = "/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/scratch/sub";
        assert_eq!(kind(dir.path(), &mount(empty_dir, false)), Some(PlaceKind::EmptyDir));
        assert_eq!(kind(dir.path(), &mount(empty_dir, true)), None);
        assert_eq!(
            kind(dir.path(), &mount("/var/lib/kubelet/pods/u/volumes/kubernetes.io~nfs/x", false)),
            None
        );
        assert_eq!(kind(Path::new("/proc/acpi"), &tmpfs("/")), None);
    }
}
