//! By which path a socket of another pod is reached from this container.
//!
//! The kernel tells the path by which the other side has bound it, in a mount namespace of its own: `/run/agent/in.sock` of its container
//! may be `/var/run/agent/in.sock` of ours, and the node's `/run/systemd/journal/dev-log` is mounted as `/dev/log`.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::carry::files::mounts::Mounts;
use crate::tree::process::unix_sockets::{UnixSockets, inode};

/// The path that leads to the socket `peer`, which somebody has bound to `bound`. None if no path is found. To each that comes into
/// question a socket is connected, and the kernel says to whom that leads.
pub fn path_to(peer: u32, bound: &Path, sockets: &UnixSockets, mounts: &Mounts) -> Option<PathBuf> {
    let leads_there = |path: &PathBuf| {
        let connected_to = || {
            let probe = UnixDatagram::unbound()?;
            probe.connect(path)?;
            sockets.peer(inode(probe.as_raw_fd())?)
        };
        connected_to().is_ok_and(|found: Option<u32>| found == Some(peer))
    };
    // A manifest is JSON, which is UTF-8.
    candidates(bound, mounts).filter(|path| path.to_str().is_some()).find(leads_there)
}

/// The same path, and then what may be it in each place that is mounted.
fn candidates<'a>(bound: &'a Path, mounts: &'a Mounts) -> impl Iterator<Item = PathBuf> + 'a {
    let own = bound.is_absolute().then(|| bound.to_owned());
    let mounted = mounts.iter().filter(|(at, mount)| *at != Path::new("/") && !is_of_kernel(&mount.kind));
    let below = mounted.flat_map(move |(at, _)| {
        let ends = ends(bound).into_iter().map(move |end| at.join(end));
        [at.to_owned()].into_iter().chain(ends)
    });
    own.into_iter().chain(below)
}

/// `a/b/c`, `b/c` and `c` of `/a/b/c`.
fn ends(path: &Path) -> Vec<PathBuf> {
    let parts: Vec<_> =
        path.components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect();
    (0..parts.len()).map(|from| parts[from..].iter().collect()).collect()
}

fn is_of_kernel(kind: &str) -> bool {
    ["proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts"].contains(&kind)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Sockets in a directory, and mounts that say that it is mounted.
    fn mounted(dir: &Path) -> Mounts {
        Mounts::parse(format!("520 510 8:1 /x {} rw - ext4 /dev/sda1 rw\n", dir.display()).as_bytes())
    }

    #[test]
    fn a_socket_is_found_where_its_directory_is_mounted_in_this_container() -> io::Result<()> {
        let (dir, sockets) = (tempfile::tempdir()?, UnixSockets::open()?);
        std::fs::create_dir(dir.path().join("run"))?;
        let here = dir.path().join("run/in.sock");
        let other = UnixDatagram::bind(dir.path().join("in.sock"))?;
        let agent = UnixDatagram::bind(&here)?;
        let (other, agent) = (inode(other.as_raw_fd())?, inode(agent.as_raw_fd())?);
        let found = |peer| path_to(peer, Path::new("/var/run/in.sock"), &sockets, &mounted(dir.path()));
        assert_eq!(found(agent), Some(here));
        assert_eq!(
            found(other),
            Some(dir.path().join("in.sock")),
            "the name is the same, and the socket another one"
        );
        assert_eq!(found(1), None);
        Ok(())
    }

    #[test]
    fn a_socket_that_is_mounted_itself_is_found_whatever_its_name_is() -> io::Result<()> {
        let (dir, sockets) = (tempfile::tempdir()?, UnixSockets::open()?);
        let here = dir.path().join("log");
        let agent = UnixDatagram::bind(&here)?;
        let bound = Path::new("/run/systemd/journal/dev-log");
        assert_eq!(path_to(inode(agent.as_raw_fd())?, bound, &sockets, &mounted(&here)), Some(here));
        Ok(())
    }
}
