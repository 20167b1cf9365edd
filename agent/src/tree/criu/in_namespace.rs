//! Has CRIU run in another time namespace than the agent: in a new one, into which it then restores a tree, or in that of a tree
//! which it dumps. It is no part of a container that may differ, so no image tells of it.
//!
//! rust-criu starts a program, and only a process with a single thread may change its time namespace (time_namespaces(7)). So it
//! starts this program, which moves there and then becomes CRIU.

use std::env;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rust_criu::Criu;

use crate::base::exit_codes;
use crate::tree::process::time_namespace::{self, Offsets};

/// Where it stands which namespace is meant, beside CRIU's configuration.
pub(super) const NAMESPACE_FD: RawFd = 197;

/// What rust-criu says to a CRIU that it starts.
const SERVE: &str = "swrk";

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

    /// CRIU's program.
    ///
    /// # Errors
    /// A socket cannot be made.
    pub(super) fn criu(self) -> Result<Criu, rust_criu::CriuError> {
        match self {
            Self::Own => Criu::new(),
            Self::New(_) | Self::Of(_) => Criu::new_with_criu_path("/proc/self/exe".to_owned()),
        }
    }

    /// For the program that becomes CRIU; nothing where there is no need of it.
    pub(super) fn line(self) -> String {
        match self {
            Self::Own => String::new(),
            Self::New(offsets) => format!("new {} {}", offsets.monotonic, offsets.boottime),
            Self::Of(pid) => format!("of {pid} 0"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, a, b] = words.as_slice() else { return None };
        match *kind {
            "new" => Some(Self::New(Offsets { monotonic: a.parse().ok()?, boottime: b.parse().ok()? })),
            "of" => a.parse().ok().map(Self::Of),
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

/// Becomes CRIU, if that is what this program was started for. Returns an exit code if it cannot.
#[must_use]
pub fn become_criu() -> Option<i32> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    arguments.first().filter(|first| *first == SERVE)?;
    let namespace = TimeNamespace::parse(&fs::read_to_string(format!("/proc/self/fd/{NAMESPACE_FD}")).ok()?)?;
    let failed = match namespace.enter() {
        Ok(()) => Command::new("criu").args(arguments).exec(),
        Err(error) => error,
    };
    eprintln!("crik: cannot start criu in a time namespace: {failed}");
    Some(exit_codes::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        for namespace in [
            TimeNamespace::New(Offsets { monotonic: -5, boottime: 86_400_000_000_000 }),
            TimeNamespace::Of(300),
        ] {
            assert_eq!(TimeNamespace::parse(&namespace.line()), Some(namespace));
        }
        assert_eq!(TimeNamespace::parse(""), None);
        assert_eq!(TimeNamespace::parse("of here 0"), None);
    }
}
