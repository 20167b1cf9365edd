//! Which process a number means: the numbers are used again.

use std::fmt;
use std::fs;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

/// A process, by its id and the time at which it began, in ticks since the machine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    id: i32,
    began: u64,
}

impl Process {
    /// The process that has this id now; none if there is none, or if it has ended and only its exit status is left.
    pub fn with_id(id: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // proc_pid_stat(5): the name, in parentheses, may have any character in it; then the state, the third field.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let began = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { id, began })
    }

    /// The one that asks.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn this() -> Result<Self> {
        Self::with_id(std::process::id().cast_signed()).context("this process is not in /proc")
    }

    /// All of this machine.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(Self::with_id).collect()
    }

    /// Its id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.id)
    }

    /// True until it ends, whoever has its id afterwards.
    pub fn lives(&self) -> bool {
        Self::with_id(self.id) == Some(*self)
    }
}

/// As in the file that names a cluster's holder: the id, and when it began.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.began)
    }
}

impl FromStr for Process {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, began) = text.trim().split_once(' ').context("an id and a time were expected")?;
        Ok(Self { id: id.parse()?, began: began.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_another_process_has_now_does_not_name_the_one_that_had_it() {
        let this = Process::this().unwrap();
        assert!(this.lives());
        assert_eq!(this.to_string().parse::<Process>().unwrap(), this);
        assert!(!Process { began: this.began - 1, ..this }.lives());
    }

    #[test]
    fn a_process_that_has_ended_does_not_live_also_before_it_is_waited_for() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let process = Process::with_id(child.id().cast_signed()).unwrap();
        assert!(process.lives());
        child.kill().unwrap();
        crate::wait::wait_for("its end", || (!process.lives()).then_some(())).unwrap();
        child.wait().unwrap();
    }
}
