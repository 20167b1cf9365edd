//! What a process has that CRIU cannot dump, or gives back as something else, as /proc shows it (proc(5)).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::sys::statfs::statfs;

use super::fd_info::FdInfo;
use super::namespaces;

/// What it is, with what becomes of it, and what to do about it.
pub(super) type Thing = (String, &'static str);

/// The namespaces (namespaces(7)) that all of a tree has in common with the agent. CRIU makes a process in another one of them only
/// together with the tree's root (criu/cr-restore.c, `fork_with_pid`), or not at all (criu/namespaces.c, `dump_user_ns`; criu/mount.c).
const IN_COMMON: [(&str, &str); 6] = [
    ("mnt", "mount"),
    ("net", "network"),
    ("uts", "UTS"),
    ("pid", "PID"),
    ("user", "user"),
    ("cgroup", "control group"),
];

/// MQUEUE_MAGIC (ipc/mqueue.c), which the kernel tells nobody else.
const MESSAGE_QUEUES: i64 = 0x1980_0202;

/// That which it has in common with the tree's root.
const OF_ROOT: (&str, &str) = ("ipc", "IPC");

/// All that process `pid` has of it, in a tree with this root. What has ended meanwhile has nothing.
pub(super) fn of(pid: i32, root: i32) -> Vec<Thing> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut things: Vec<Thing> = entries.filter_map(|entry| open(pid, &entry.path())).collect();
    things.extend(namespace(pid, root));
    // Of many alike one is enough.
    things.sort();
    things.dedup();
    things
}

fn namespace(pid: i32, root: i32) -> Option<Thing> {
    let (process, root) = (pid.to_string(), root.to_string());
    let differs = |whose: &str, kind| namespaces::differ(&process, whose, kind);
    let of_root = Some(OF_ROOT).filter(|(kind, _)| differs(&root, kind));
    let (_, name) = of_root.or_else(|| IN_COMMON.into_iter().find(|(kind, _)| differs("self", kind)))?;
    let what = format!("a {name} namespace of its own, which CRIU cannot make again for a part of a tree");
    Some((what, "have the program do without (a sandbox has a switch for it, such as --no-sandbox)"))
}

fn open(pid: i32, link: &Path) -> Option<Thing> {
    let target = fs::read_link(link).ok()?;
    let told = target.as_os_str().as_bytes();
    let info = || FdInfo::of(pid, link.file_name()?).ok();
    if told.starts_with(b"pipe:[") {
        return keeps_packets(&info()?).then(packet_pipe);
    }
    if told == b"anon_inode:[eventfd]" {
        return odd_event(&info()?);
    }
    let is_queue =
        may_be_queue(&target) && statfs(link).is_ok_and(|fs| fs.filesystem_type().0 == MESSAGE_QUEUES);
    is_queue.then(message_queue)
}

fn keeps_packets(info: &FdInfo) -> bool {
    info.flags().is_some_and(|flags| flags & libc::O_DIRECT != 0)
}

fn packet_pipe() -> Thing {
    let what = "a pipe that keeps packets apart (O_DIRECT), which CRIU cannot dump";
    (what.to_owned(), "have the program make its pipe without, or use a UNIX socket (SOCK_SEQPACKET)")
}

/// CRIU makes each with eventfd(2), without flags and with a count of 32 bits (criu/eventfd.c, `eventfd_open`).
fn odd_event(info: &FdInfo) -> Option<Thing> {
    let count = info.field("eventfd-count").and_then(|count| u64::from_str_radix(count, 16).ok());
    let what = if info.field("eventfd-semaphore") == Some("1") {
        "an eventfd that is a semaphore (EFD_SEMAPHORE), which CRIU restores as one that is none"
    } else if count.is_some_and(|count| u32::try_from(count).is_err()) {
        "an eventfd that has counted further than 32 bits go, of which CRIU restores no more"
    } else {
        return None;
    };
    Some((what.to_owned(), "have the program use an ordinary eventfd, or a semaphore of POSIX (sem_open)"))
}

/// Where a message queue can be seen: in the root of its own file system, unless that is mounted at the usual place (mq_overview(7)).
fn may_be_queue(target: &Path) -> bool {
    let parent = target.parent().map(Path::as_os_str);
    parent == Some(OsStr::new("/")) || parent == Some(OsStr::new("/dev/mqueue"))
}

fn message_queue() -> Thing {
    let what = "a message queue of POSIX (mq_open), whose messages CRIU does not dump";
    (
        what.to_owned(),
        "have the program close it before (hooks.preCheckpoint), or use a UNIX socket or files for its messages",
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd as _;

    use super::*;

    fn own() -> Vec<String> {
        let own = std::process::id().cast_signed();
        of(own, own).into_iter().map(|(what, _)| what).collect()
    }

    #[test]
    fn what_criu_cannot_dump_is_found_as_long_as_it_is_there() {
        let is_there = |what: &str| own().iter().any(|thing| thing.contains(what));
        assert!(!is_there("packets") && !is_there("semaphore"));
        let pipe = nix::unistd::pipe2(nix::fcntl::OFlag::O_DIRECT).unwrap();
        // SAFETY: eventfd(2) takes numbers, and who has its descriptor is here alone.
        let event = unsafe { std::os::fd::OwnedFd::from_raw_fd(libc::eventfd(1, libc::EFD_SEMAPHORE)) };
        assert!(is_there("packets") && is_there("semaphore"));
        drop((pipe, event));
        assert!(!is_there("packets") && !is_there("semaphore"));
    }

    #[test]
    fn an_ordinary_event_is_none_of_it() {
        let event = |count, semaphore| {
            let told = format!("flags:\t02\neventfd-count: {count}\neventfd-semaphore: {semaphore}\n");
            odd_event(&told.as_str().into())
        };
        assert_eq!(event("         ffffffff", 0), None);
        assert!(event("        100000000", 0).unwrap().0.contains("32 bits"));
        assert!(event("                0", 1).unwrap().0.contains("semaphore"));
        assert_eq!(odd_event(&"eventfd-count:                0\n".into()), None);
    }

    #[test]
    fn a_queue_is_looked_for_where_it_can_be() {
        let is_looked_for = |path| may_be_queue(Path::new(path));
        assert!(
            is_looked_for("/work") && is_looked_for("/work (deleted)") && is_looked_for("/dev/mqueue/work")
        );
        assert!(!is_looked_for("/var/work") && !is_looked_for("pipe:[5]"));
    }
}
