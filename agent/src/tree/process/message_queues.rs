//! Message queues of POSIX that no process has open (mq_overview(7)): they are the pod's, and the next pod has none.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::snapshot::Tree;

/// Where runtimes mount them.
const QUEUES: &str = "/dev/mqueue";

/// Those that are of a user of `tree` and that no process of it has open. Which of the pod's containers has made one nobody can tell.
#[must_use]
pub fn left_alone(tree: &Tree) -> Vec<PathBuf> {
    let entries = fs::read_dir(QUEUES).into_iter().flatten().flatten();
    let queues: Vec<(PathBuf, Metadata)> =
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect();
    if queues.is_empty() {
        return Vec::new();
    }
    let users: BTreeSet<u32> = tree.0.iter().filter_map(|process| user(process.pid)).collect();
    let open: BTreeSet<u64> =
        tree.0.iter().flat_map(|process| open_queues(process.pid, queues[0].1.dev())).collect();
    let is_alone = |meta: &Metadata| users.contains(&meta.uid()) && !open.contains(&meta.ino());
    queues.into_iter().filter(|(_, meta)| is_alone(meta)).map(|(path, _)| path).collect()
}

fn user(pid: i32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid())
}

/// The inodes of what a process has open on this device.
fn open_queues(pid: i32, device: u64) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let open = entries.filter_map(|entry| fs::metadata(entry.path()).ok());
    open.filter(move |meta| meta.dev() == device).map(|meta| meta.ino())
}
