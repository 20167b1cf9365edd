//! Has CRIU run in other namespaces than the agent: in new ones, into which it then restores a tree, or in those of a tree which it
//! dumps. They are no part of a container that may differ, so no image tells of them.
//!
//! Only a process with a single thread may change its time namespace (time_namespaces(7)), so it is done on the way to CRIU.

use std::io;
use std::os::fd::RawFd;

pub use crate::tree::process::time_namespace::Offsets;
use crate::tree::process::{ipc_namespace, system_v, time_namespace};

/// Where it stands which namespaces are meant, beside CRIU's configuration.
pub(super) const NAMESPACE_FD: RawFd = 197;

/// The namespaces in which CRIU runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces {
    /// That of its clocks.
    pub time: TimeNamespace,
    /// That of what there is of System V.
    pub ipc: IpcNamespace,
}

impl Namespaces {
    /// The agent's.
    pub const OWN: Self = Self { time: TimeNamespace::Own, ipc: IpcNamespace::Own };

    /// Those in which a tree with this root is dumped.
    #[must_use]
    pub fn of_tree(root: i32) -> Self {
        Self { time: TimeNamespace::of_tree(root), ipc: IpcNamespace::of_tree(root) }
    }

    /// For the program that becomes CRIU.
    pub(super) fn line(self) -> String {
        format!("{}, {}", self.time.line(), self.ipc.line())
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (time, ipc) = line.split_once(", ")?;
        Some(Self { time: TimeNamespace::parse(time)?, ipc: IpcNamespace::parse(ipc)? })
    }

    pub(super) fn enter(self) -> io::Result<()> {
        self.time.enter()?;
        self.ipc.enter()
    }
}

/// How the image begins to be called in which CRIU keeps what can be set of an IPC namespace that it dumps, with a number behind
/// (criu/ipc_ns.c).
pub const IPC_IMAGE: &str = "ipcns-var-";

/// The same for that of its shared memory.
pub const SHARED_MEMORY_IMAGE: &str = "ipcns-shm-";

/// The IPC namespace in which CRIU runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpcNamespace {
    /// The agent's. A tree that has another one is dumped with it.
    Own,
    /// A new one.
    New,
    /// That of a process.
    Of(i32),
}

impl IpcNamespace {
    /// In which a tree with this root is dumped: its own, if there is nothing in it, so that it can go on where none can be made.
    fn of_tree(root: i32) -> Self {
        let is_to_be_dumped = !ipc_namespace::is_elsewhere(root) || system_v::is_in_that_of(root);
        if is_to_be_dumped { Self::Own } else { Self::Of(root) }
    }

    fn line(self) -> String {
        match self {
            Self::Own => "own".to_owned(),
            Self::New => "new".to_owned(),
            Self::Of(pid) => format!("of {pid}"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line {
            "own" => Some(Self::Own),
            "new" => Some(Self::New),
            _ => line.strip_prefix("of ")?.parse().ok().map(Self::Of),
        }
    }

    fn enter(self) -> io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::New => ipc_namespace::enter_new(),
            Self::Of(pid) => ipc_namespace::enter_that_of(pid),
        }
    }
}

/// The time namespace in which CRIU runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeNamespace {
    /// The agent's.
    Own,
    /// A new one.
    New(Offsets),
    /// That of a process.
    Of(i32),
}

impl TimeNamespace {
    /// That of a tree with this root.
    fn of_tree(root: i32) -> Self {
        if time_namespace::is_elsewhere(root) { Self::Of(root) } else { Self::Own }
    }

    fn line(self) -> String {
        match self {
            Self::Own => "own".to_owned(),
            Self::New(offsets) => format!("new {} {}", offsets.monotonic, offsets.boottime),
            Self::Of(pid) => format!("of {pid}"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["own"] => Some(Self::Own),
            ["new", a, b] => {
                Some(Self::New(Offsets { monotonic: a.parse().ok()?, boottime: b.parse().ok()? }))
            }
            ["of", pid] => pid.parse().ok().map(Self::Of),
            _ => None,
        }
    }

    fn enter(self) -> io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::New(offsets) => time_namespace::enter_new(offsets),
            Self::Of(pid) => time_namespace::enter_that_of(pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        for time in [
            TimeNamespace::Own,
            TimeNamespace::New(Offsets { monotonic: -5, boottime: 86_400_000_000_000 }),
            TimeNamespace::Of(300),
        ] {
            for ipc in [IpcNamespace::Own, IpcNamespace::New, IpcNamespace::Of(300)] {
                let namespaces = Namespaces { time, ipc };
                assert_eq!(Namespaces::parse(&namespaces.line()), Some(namespaces));
            }
        }
        assert_eq!(Namespaces::parse(""), None);
        assert_eq!(Namespaces::parse("of here, own"), None);
        assert_eq!(Namespaces::parse("own, of here"), None);
    }
}
