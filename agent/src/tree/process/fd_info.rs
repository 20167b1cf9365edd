//! What the kernel tells of a descriptor beside what it leads to (proc(5), `/proc/PID/fdinfo`).

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::Path;
use std::{fs, io};

/// All that it tells.
#[derive(Debug)]
pub struct FdInfo(String);

impl FdInfo {
    /// Of the descriptor `name` of process `pid`, which may be `self`.
    ///
    /// # Errors
    /// One of them is gone.
    pub fn of(pid: impl Display, name: impl AsRef<OsStr>) -> io::Result<Self> {
        fs::read_to_string(Path::new(&format!("/proc/{pid}/fdinfo")).join(name.as_ref())).map(Self)
    }

    /// The value of a line.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// With what it was opened, as open(2) takes it.
    #[must_use]
    pub fn flags(&self) -> Option<i32> {
        i32::from_str_radix(self.field("flags")?, 8).ok()
    }

    /// Line by line: some have several of a kind.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.lines()
    }
}

#[cfg(test)]
impl From<&str> for FdInfo {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_descriptor_is_told_with_its_flags() {
        let file = fs::OpenOptions::new().append(true).open("/dev/null").unwrap();
        let of = |fd: i32| FdInfo::of("self", fd.to_string());
        let told = of(file.as_raw_fd()).unwrap();
        let flags = told.flags().unwrap();
        assert_eq!(flags & (libc::O_ACCMODE | libc::O_APPEND), libc::O_WRONLY | libc::O_APPEND);
        assert_eq!((told.field("pos"), told.field("flag")), (Some("0"), None));
        assert!(of(1_000_000).is_err());
    }
}
