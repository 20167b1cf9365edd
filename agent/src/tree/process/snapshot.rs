//! The process tree as /proc shows it (proc(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::base::kernel_pages::page_bytes;
use crate::base::limits;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// The id of its session.
    pub session: i32,
    /// Its state, as ps shows it: `T` is stopped, `Z` a zombie.
    pub state: char,
    /// Resident memory in pages.
    pub resident_pages: u64,
    /// When it was started, in ticks of the machine's clock since its boot.
    pub started: u64,
}

/// All processes in sight at one moment.
#[derive(Debug, Default)]
pub struct Snapshot(BTreeMap<i32, Process>);

impl Snapshot {
    /// Looks at /proc. Processes that end meanwhile are left out.
    pub fn take() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(pids.filter_map(|pid| Some((pid, read(pid)?))).collect())
    }

    /// `root` and all its descendants.
    pub fn tree(&self, root: i32) -> Tree {
        let mut members = BTreeSet::from([root]);
        // A parent may have a higher id than its child, so go round until nothing is new.
        loop {
            let before = members.len();
            members.extend(
                self.0.values().filter(|p| members.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>(),
            );
            if members.len() == before {
                break;
            }
        }
        Tree(members.iter().filter_map(|pid| self.0.get(pid).cloned()).collect())
    }

    /// Each of them.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.0.values()
    }

    /// The one with this id.
    pub fn get(&self, pid: i32) -> Option<&Process> {
        self.0.get(&pid)
    }

    /// The children of `parent`.
    pub fn children(&self, parent: i32) -> impl Iterator<Item = &Process> {
        self.0.values().filter(move |process| process.parent == parent)
    }
}

/// The ids of this process's own children. Unlike the whole of /proc it can be read while one of them hangs in its exec, since it has
/// to close a file of a volume that does not answer: newer kernels let nobody read /proc/PID/stat meanwhile (`exec_update_lock`,
/// fs/proc/array.c).
pub fn own_children() -> Vec<i32> {
    while Path::new("/proc/thread-self/children").exists() {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let listed: Option<Vec<String>> =
            threads.map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect();
        // A thread that ends meanwhile leaves its children to another one, which may have been read by then.
        if let Some(listed) = listed {
            return listed.concat().split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        }
    }
    // The kernel was built without the lists.
    let own = std::process::id().cast_signed();
    Snapshot::take().children(own).map(|child| child.pid).collect()
}

/// A process and all its descendants.
#[derive(Debug, Default)]
pub struct Tree(pub Vec<Process>);

impl Tree {
    /// The process from which all others stem.
    #[must_use]
    pub fn root(&self) -> Option<i32> {
        let is_there = |pid| self.0.iter().any(|process| process.pid == pid);
        self.0.iter().find(|process| !is_there(process.parent)).map(|process| process.pid)
    }

    /// True when `root` has adopted a member: one of another session that it does not lead.
    pub fn has_orphans(&self, root: i32) -> bool {
        self.0.iter().any(|process| {
            process.parent == root && process.session != root && process.session != process.pid
        })
    }

    /// Members whose session nobody could give back: its leader is neither among their ancestors nor themselves, and they
    /// are not children of `root`, for which CRIU makes up a leader.
    pub fn in_lost_sessions(&self, root: i32) -> Vec<i32> {
        let parents: BTreeMap<i32, i32> =
            self.0.iter().map(|process| (process.pid, process.parent)).collect();
        let ancestors = |pid: i32| std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
        let lost = |process: &&Process| {
            process.parent != root
                && process.pid != root
                && !ancestors(process.pid).any(|pid| pid == process.session)
        };
        self.0.iter().filter(lost).map(|process| process.pid).collect()
    }

    /// Resident memory of all members in bytes; shared pages count in each.
    pub fn resident_bytes(&self) -> u64 {
        self.0.iter().map(|process| process.resident_pages).sum::<u64>() * page_bytes()
    }

    /// Files below the control group root that a member has open.
    pub fn open_cgroup_files(&self) -> Vec<PathBuf> {
        let files: BTreeSet<PathBuf> = self.0.iter().flat_map(|process| open_files(process.pid)).collect();
        files.into_iter().filter(|path| path.starts_with(limits::CGROUP_ROOT)).collect()
    }

    /// Sends a signal to every member; one that has ended meanwhile is passed over.
    pub fn signal(&self, signal: Signal) {
        for process in &self.0 {
            let _ = kill(Pid::from_raw(process.pid), signal);
        }
    }

    /// The ids of the members that a signal has stopped. What a tracer holds (`t`) goes on when the tracer ends.
    pub fn stopped(&self) -> BTreeSet<i32> {
        self.0.iter().filter(|process| process.state == 'T').map(|process| process.pid).collect()
    }

    /// All members but those.
    pub fn without(mut self, pids: &BTreeSet<i32>) -> Self {
        self.0.retain(|process| !pids.contains(&process.pid));
        self
    }
}

/// How a process is told: `312 (python3)`.
pub fn told(pid: i32) -> String {
    format!("{pid} ({})", name(pid))
}

/// The name of a process, as ps shows it; empty if it has ended.
pub fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// What the descriptors of a process lead to, as /proc/PID/fd shows it; nothing if it has ended.
pub fn open_files(pid: i32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// What tells the file that a process runs from others: its device and inode. None if it has ended.
pub fn program_file(pid: i32) -> Option<(u64, u64)> {
    fs::metadata(format!("/proc/{pid}/exe")).ok().map(|file| (file.dev(), file.ino()))
}

/// The process with this id; the parent of one is 0 where that is none that can be seen. None if it has ended.
pub fn read(pid: i32) -> Option<Process> {
    parse(pid, &fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?)
}

/// Reads /proc/PID/stat. The second field is the program's name in parentheses and may hold anything, so fields are
/// counted after the last parenthesis.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        resident_pages: fields.get(21)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> (i32, Process) {
        (pid, Process { pid, parent, session, state: 'S', resident_pages: 1, started: 1 })
    }

    #[test]
    fn a_tree_has_all_descendants_and_nobody_else() {
        let all = [(1, 0, 1), (300, 1, 300), (301, 300, 301), (299, 301, 301), (400, 1, 1)];
        let snapshot =
            Snapshot(all.into_iter().map(|(pid, parent, sid)| process(pid, parent, sid)).collect());
        let pids: Vec<i32> = snapshot.tree(300).0.iter().map(|p| p.pid).collect();
        assert_eq!(pids, [299, 300, 301]);
        assert!(!snapshot.tree(300).has_orphans(300));
    }

    #[test]
    fn adopted_members_are_told_by_their_session() {
        let application = [process(300, 1, 300), process(301, 300, 301)];
        for orphan in [process(307, 300, 306), process(307, 300, 301)] {
            let snapshot = Snapshot(application.iter().cloned().chain([orphan]).collect());
            assert!(snapshot.tree(300).has_orphans(300));
        }
    }

    #[test]
    fn what_a_subreaper_inside_the_tree_adopted_is_in_a_lost_session() {
        let tree = |all: &[(i32, i32, i32)]| {
            Snapshot(all.iter().map(|(pid, parent, sid)| process(*pid, *parent, *sid)).collect()).tree(300)
        };
        let application = [(300, 1, 300), (301, 300, 301), (310, 301, 310), (311, 310, 301)];
        assert!(tree(&application).in_lost_sessions(300).is_empty());
        let adopted = [(300, 1, 300), (301, 300, 301), (312, 301, 302), (313, 300, 302)];
        assert_eq!(tree(&adopted).in_lost_sessions(300), [312]);
    }

    #[test]
    fn a_program_may_have_any_name() {
        let stat =
            "307 (a) S (1) R) T 300 306 306 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 5 4096 17 18446744073709551615";
        let process = parse(307, stat).unwrap();
        assert_eq!(
            (process.parent, process.session, process.state, process.resident_pages),
            (300, 306, 'T', 17)
        );
    }
}
