//! Which file systems the container has, and which of them the next pod has too (proc(5), mountinfo).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: PathBuf,
    /// The type of its file system.
    pub kind: String,
}

/// File systems that live in memory or are the kernel's own: each container has others.
const OF_THE_CONTAINER: [&str; 11] = [
    "proc",
    "sysfs",
    "tmpfs",
    "ramfs",
    "devtmpfs",
    "devpts",
    "mqueue",
    "cgroup",
    "cgroup2",
    "hugetlbfs",
    "securityfs",
];

impl Mount {
    /// Whether it is a volume: what is on it is there for the next pod as it was left.
    pub fn is_volume(&self) -> bool {
        self.point != Path::new("/") && !OF_THE_CONTAINER.contains(&self.kind.as_str())
    }
}

/// All mounts of this container, in the order in which they were made.
#[derive(Debug, Clone)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Looks at /proc.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn here() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    fn parse(mountinfo: &str) -> Self {
        Self(mountinfo.lines().filter_map(parse_line).collect())
    }

    /// The mount on which `path` lies; the last of those at the same place hides the others.
    pub fn of(&self, path: &Path) -> Option<&Mount> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.components().count())
    }

    /// The volume on which `path` lies, if it lies on one.
    pub fn volume(&self, path: &Path) -> Option<&Mount> {
        self.of(path).filter(|mount| mount.is_volume())
    }
}

/// Of a line, the fifth field, and the first after the dash that ends the optional ones.
fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    Some(Mount { point: unescape(point).into(), kind: after.split(' ').next()?.to_owned() })
}

/// Blanks and backslashes in a name are written as three octal digits after a backslash.
fn unescape(name: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(name.to_owned(), |name, (escaped, plain)| name.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
1 0 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l\n\
2 1 0:51 / /proc rw,nosuid - proc proc rw\n\
3 1 0:52 / /dev rw,nosuid - tmpfs tmpfs rw\n\
4 1 254:0 /v/job /check\\040points rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n\
5 3 0:53 / /dev/shm rw - tmpfs shm rw\n";

    #[test]
    fn a_path_lies_on_the_nearest_mount() {
        let mounts = Mounts::parse(MOUNTINFO);
        let point = |path: &str| mounts.of(Path::new(path)).map(|mount| mount.point.display().to_string());
        assert_eq!(point("/dev/shm/sem").as_deref(), Some("/dev/shm"));
        assert_eq!(point("/dev/shmem").as_deref(), Some("/dev"));
        assert_eq!(point("/check points/job-0/x").as_deref(), Some("/check points"));
        assert_eq!(point("/checkpoints").as_deref(), Some("/"));
    }

    #[test]
    fn only_what_the_next_pod_has_too_is_a_volume() {
        let mounts = Mounts::parse(MOUNTINFO);
        for (path, is_volume) in
            [("/check points/x", true), ("/srv/x", false), ("/proc/self/maps", false), ("/dev/shm/x", false)]
        {
            assert_eq!(mounts.volume(Path::new(path)).is_some(), is_volume, "{path}");
        }
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(Mounts::here().unwrap().of(Path::new("/")).is_some());
    }
}
