//! Who has a process id that a tree needs which is to be restored.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use super::snapshot::{Process, Snapshot, told};

/// A process that keeps an id from being given to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdHolder {
    /// The process.
    pub pid: i32,
    id: i32,
    told: String,
}

impl fmt::Display for IdHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} has the process id {} of the program", self.told, self.id)
    }
}

/// All but this process that have one of `ids`: as their own, as that of a thread, a group or a session, which are one kind (credentials(7)).
pub fn of(ids: &BTreeSet<i32>) -> Vec<IdHolder> {
    let (all, own) = (Snapshot::take(), std::process::id().cast_signed());
    let others = all.processes().filter(|process| process.pid != own);
    others.filter_map(|process| holder(process, own, ids)).collect()
}

fn holder(process: &Process, own: i32, ids: &BTreeSet<i32>) -> Option<IdHolder> {
    let first = [process.pid, process.session, group(process.pid)];
    let id = first.into_iter().chain(threads(process.pid)).find(|id| ids.contains(id))?;
    // What has ended keeps its id until its parent asks for its status.
    if process.state == 'Z' && process.parent != own {
        let told = format!("{}, which does not wait for {}", told(process.parent), told(process.pid));
        return Some(IdHolder { pid: process.parent, id, told });
    }
    let started_by = match process.parent {
        0 => "of an exec session or a probe".to_owned(),
        parent if parent == own => "that something has left behind".to_owned(),
        parent => format!("started by {}", told(parent)),
    };
    Some(IdHolder { pid: process.pid, id, told: format!("{} {started_by}", told(process.pid)) })
}

fn threads(pid: i32) -> impl Iterator<Item = i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// 0 if it has ended.
fn group(pid: i32) -> i32 {
    // SAFETY: getpgid(2) takes a number.
    unsafe { libc::getpgid(pid) }.max(0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn who_has_an_id_is_told_with_who_has_started_it() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & echo $!; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut said)
            .unwrap();
        let (parent, child): (i32, i32) = (shell.id().cast_signed(), said.trim().parse().unwrap());
        let found = of(&BTreeSet::from([child]));
        assert_eq!(found.iter().map(|one| one.pid).collect::<Vec<_>>(), [child]);
        let told = found[0].to_string();
        assert!(
            told.contains(&format!("started by {parent} (sh) has the process id {child} of the program")),
            "{told}"
        );
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
        assert_eq!(of(&BTreeSet::from([child])), []);
        assert_eq!(of(&BTreeSet::from([std::process::id().cast_signed()])).len(), 0);
    }
}
