//! What else runs in this container: an exec session, a probe, a debugger. It is not part of the application and does not move, but
//! what it has to do with the application can keep CRIU from freezing that: a connection, or that it traces it.
//!
//! It is told by its control group, which is the container's also where the containers of a pod see each other's processes
//! (`shareProcessNamespace`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::borrow::{process_fd, signal};
use super::snapshot::{Process, Snapshot, program_file, told};
use crate::base::limits;

/// Those of this container that were started after the agent and are neither it, nor of the tree with this root, nor such as ask the
/// agent for something, whose answer somebody waits for, nor the `criu` that the agent has started: one that was given up may hang on the
/// volume. None where the agent is not what the container was started for: then it cannot tell what else is.
pub fn beside(root: i32, criu: Option<i32>) -> Vec<i32> {
    let (all, own) = (Snapshot::take(), std::process::id().cast_signed());
    let Some(agent) = all.get(own).filter(|agent| is_the_containers(agent, &all)) else { return Vec::new() };
    let mut spared: BTreeSet<i32> = all.tree(root).0.iter().map(|process| process.pid).collect();
    spared.append(&mut askers(&all));
    spared.extend(criu);
    let is_beside = |process: &&Process| process.state != 'Z' && process.started >= agent.started;
    let others = all.processes().filter(is_beside).map(|process| process.pid);
    others.filter(|pid| !spared.contains(pid) && is_of_this_container(*pid)).collect()
}

/// Whether the container was started for this process: its parent is outside, or such as `tini`, which has no other child.
fn is_the_containers(agent: &Process, all: &Snapshot) -> bool {
    agent.parent == OUTSIDE || agent.parent == INIT && all.children(INIT).count() == 1
}

/// What is told of a parent in another PID namespace, and of the first process of one (pid_namespaces(7)).
const OUTSIDE: i32 = 0;
const INIT: i32 = 1;

/// Ends all of them, so that none holds up the freeze that follows, and says so. Blocks for [`limits::SESSION_PATIENCE`] twice at most.
///
/// A debugger gets the time to let go of the program and to take its breakpoints out, which is why it is asked first.
pub fn end(root: i32, criu: Option<i32>) {
    let running = beside(root, criu).into_iter().filter_map(Session::open).collect::<Vec<_>>();
    let Some(names) = named(&running) else { return };
    tracing::info!(step = "freeze", "what runs in this container beside the program is ended: {names}");
    if let Some(names) = named(&ended(running)) {
        tracing::warn!(
            step = "freeze",
            "this does not end, and may keep the program from being frozen: {names}"
        );
    }
}

/// Ends those of `pids` that are beside a tree which is not there yet. Blocks as [`end`].
pub fn end_some(pids: &BTreeSet<i32>) {
    let some = beside(NOBODY, None).into_iter().filter(|pid| pids.contains(pid));
    ended(some.filter_map(Session::open).collect());
}

/// No process has this id; that of 0 stands for all parents that are outside.
const NOBODY: i32 = -1;

/// Those that do not end.
fn ended(running: Vec<Session>) -> Vec<Session> {
    let running = ask(running, &[Signal::SIGHUP, Signal::SIGTERM]);
    ask(running, &[Signal::SIGKILL])
}

struct Session {
    told: String,
    process: OwnedFd,
}

impl Session {
    /// None if it has ended.
    fn open(pid: i32) -> Option<Self> {
        let (process, told) = (process_fd(pid).ok()?, told(pid));
        // Its id may have been given to another process before it was opened.
        is_of_this_container(pid).then_some(Self { told, process })
    }

    /// Readable when it has ended.
    fn end(&self) -> PollFd<'_> {
        PollFd::new(self.process.as_fd(), PollFlags::POLLIN)
    }

    fn has_ended(&self) -> bool {
        poll(&mut [self.end()], PollTimeout::ZERO).is_ok_and(|ended| ended > 0)
    }
}

/// Those that have not ended a while after these signals.
fn ask(mut running: Vec<Session>, signals: &[Signal]) -> Vec<Session> {
    for session in &running {
        // One that has ended meanwhile.
        signals.iter().for_each(|number| drop(signal(&session.process, *number)));
    }
    let patience = Instant::now() + limits::SESSION_PATIENCE;
    loop {
        running.retain(|session| !session.has_ended());
        let left = patience.saturating_duration_since(Instant::now());
        if running.is_empty() || left.is_zero() {
            return running;
        }
        // A signal that interrupts it is no reason to wait for longer.
        let _ = poll(&mut running.iter().map(Session::end).collect::<Vec<_>>(), timeout(left));
    }
}

/// A whole millisecond at least, so that nothing spins.
fn timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left.max(Duration::from_millis(1))).unwrap_or(PollTimeout::ZERO)
}

fn named(running: &[Session]) -> Option<String> {
    let names: Vec<&str> = running.iter().map(|session| session.told.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The processes that run the agent's own program, such as `crik checkpoint`, and those that wait for them. The agent is one of them.
fn askers(all: &Snapshot) -> BTreeSet<i32> {
    let parents: BTreeMap<i32, i32> = all.processes().map(|process| (process.pid, process.parent)).collect();
    let own = program_file(std::process::id().cast_signed());
    let same = parents.keys().copied().filter(|pid| own.is_some() && program_file(*pid) == own);
    same.flat_map(|pid| std::iter::successors(Some(pid), |pid| parents.get(pid).copied())).collect()
}

/// Whether a process is of the container that this one is in.
pub(super) fn is_of_this_container(pid: i32) -> bool {
    let groups = |process: &str| fs::read_to_string(format!("/proc/{process}/cgroup")).ok();
    groups("self").zip(groups(&pid.to_string())).is_some_and(|(own, other)| is_within(&own, &other))
}

/// Whether the control groups of a process are this one's, or below them (`/proc/PID/cgroup`, cgroups(7)). A group outside of the
/// namespace begins with `/..`.
fn is_within(own: &str, other: &str) -> bool {
    let below = |(own, other): (&str, &str)| {
        let rest = other.strip_prefix(own.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !rest.starts_with("/.."))
    };
    own.lines().count() == other.lines().count() && own.lines().zip(other.lines()).all(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_agent_is_not_what_a_container_was_started_for_nothing_is_beside() {
        assert_eq!(beside(std::process::id().cast_signed(), None), Vec::<i32>::new());
    }

    #[test]
    fn a_container_is_its_control_group_and_what_is_below() {
        assert!(is_within("0::/\n", "0::/\n"));
        assert!(is_within("0::/\n", "0::/inner\n"));
        assert!(is_within("0::/pod/one\n", "0::/pod/one/inner\n"));
        assert!(!is_within("0::/\n", "0::/../sidecar\n"));
        assert!(!is_within("0::/pod/one\n", "0::/pod/one-more\n"));
        assert!(!is_within("0::/pod/one\n", "0::/pod\n"));
        assert!(is_within("2:cpu:/a\n1:memory:/b\n", "2:cpu:/a\n1:memory:/b\n"));
        assert!(!is_within("2:cpu:/a\n1:memory:/b\n", "2:cpu:/a\n1:memory:/c\n"));
    }
}
