//! Has CRIU run in another time namespace than the agent: in a new one, into which it then restores a tree, or in that of a tree
//! which it dumps. It is no part of a container that may differ, so no image tells of it.
//!
//! Only a process with a single thread may change its time namespace (time_namespaces(7)), so it is done on the way to CRIU.

use std::io;
use std::os::fd::RawFd;

use crate::tree::process::time_namespace::{self, Offsets};

/// Where it stands which namespace is meant, beside CRIU's configuration.
pub(super) const NAMESPACE_FD: RawFd = 197;

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
    #[must_use]
    pub fn of_tree(root: i32) -> Self {
        if time_namespace::is_elsewhere(root) { Self::Of(root) } else { Self::Own }
    }

    /// For the program that becomes CRIU.
    pub(super) fn line(self) -> String {
        match self {
            Self::Own => "own".to_owned(),
            Self::New(offsets) => format!("new {} {}", offsets.monotonic, offsets.boottime),
            Self::Of(pid) => format!("of {pid}"),
        }
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
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

    pub(super) fn enter(self) -> io::Result<()> {
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
        for namespace in [
            TimeNamespace::Own,
            TimeNamespace::New(Offsets { monotonic: -5, boottime: 86_400_000_000_000 }),
            TimeNamespace::Of(300),
        ] {
            assert_eq!(TimeNamespace::parse(&namespace.line()), Some(namespace));
        }
        assert_eq!(TimeNamespace::parse(""), None);
        assert_eq!(TimeNamespace::parse("of here"), None);
    }
}
