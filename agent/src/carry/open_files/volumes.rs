//! Which file systems of the container the next pod has too.

use std::io;
use std::path::Path;

use crate::base::limits;
use crate::carry::files::mounts::{Mount, Mounts};

/// What the next container has of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same.
    Same,
    /// What the kernel, the runtime or the kubelet puts there.
    Likewise,
    /// The container's image, without what changed since.
    Image,
    /// Nothing but what goes along; of `/dev` the devices.
    Nothing,
}

/// File systems that are the kernel's own: each container has others, with the same in them.
const OF_THE_KERNEL: [&str; 7] = ["proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs"];

/// File systems that live in memory.
const IN_MEMORY: [&str; 4] = ["tmpfs", "ramfs", "devtmpfs", "hugetlbfs"];

/// The volumes of this container.
#[derive(Debug)]
pub(super) struct Volumes(Mounts);

impl Volumes {
    /// Looks at /proc.
    pub(super) fn here() -> io::Result<Self> {
        Ok(Self(Mounts::read()?))
    }

    /// Where the volume is mounted on which `path` lies, if it lies on one.
    pub(super) fn of(&self, path: &Path) -> Option<&Path> {
        let (point, next) = self.next(path);
        (next == Next::Same).then_some(point)
    }

    /// Where the file system is mounted on which `path` lies, and what the next container has of it.
    pub(super) fn next(&self, path: &Path) -> (&Path, Next) {
        let point = self.0.of(path);
        (point, self.0.at(point).map_or(Next::Image, |mount| next(point, mount)))
    }

    /// The kind of file system on which `path` lies.
    pub(super) fn kind(&self, path: &Path) -> &str {
        self.0.at(self.0.of(path)).map_or("", |mount| &mount.kind)
    }
}

fn next(point: &Path, mount: &Mount) -> Next {
    let kind = mount.kind.as_str();
    if point == Path::new("/") {
        Next::Image
    } else if OF_THE_KERNEL.contains(&kind) || IN_MEMORY.contains(&kind) && mount.read_only {
        // What is in memory and cannot be written was put there by who made the container.
        Next::Likewise
    } else if IN_MEMORY.contains(&kind) || mount.root.to_string_lossy().contains(limits::EMPTY_DIR) {
        Next::Nothing
    } else {
        Next::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_container_has_depends_on_the_file_system() {
        let volumes = Volumes(Mounts::parse(
            b"\
1 0 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l\n\
2 1 0:51 / /proc rw,nosuid - proc proc rw\n\
3 1 0:52 / /dev rw,nosuid - tmpfs tmpfs rw\n\
4 1 254:0 /v/job /check\\040points rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n\
5 1 254:0 /pods/u/volumes/kubernetes.io~empty-dir/s /scratch rw,relatime - ext4 /dev/vda rw\n\
6 1 0:53 / /run/secrets ro,relatime - tmpfs tmpfs rw\n",
        ));
        for (path, expected) in [
            ("/check points/x", Next::Same),
            ("/srv/x", Next::Image),
            ("/proc/self/maps", Next::Likewise),
            ("/dev/x", Next::Nothing),
            ("/scratch/x", Next::Nothing),
            ("/run/secrets/x", Next::Likewise),
        ] {
            assert_eq!(volumes.next(Path::new(path)).1, expected, "{path}");
        }
        assert_eq!(volumes.of(Path::new("/check points/x")), Some(Path::new("/check points")));
        assert_eq!((volumes.of(Path::new("/scratch/x")), volumes.kind(Path::new("/dev/x"))), (None, "tmpfs"));
    }
}
