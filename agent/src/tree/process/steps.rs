//! Whether processes run: by what the kernel counts of each of their threads.

use std::collections::BTreeMap;
use std::fs;

/// What is counted of one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// Its process.
    pub pid: i32,
    /// How often it was given a processor, by its own will or not (proc(5), `/proc/PID/status`).
    pub switches: u64,
    /// How long it had one, in ticks (proc(5), `/proc/PID/stat`).
    pub ticks: u64,
    /// Its state, as ps shows it.
    pub state: char,
}

impl Steps {
    /// Whether it has run since it was as `before`.
    #[must_use]
    pub fn are_more_than(&self, before: &Self) -> bool {
        self.switches > before.switches || self.ticks > before.ticks
    }
}

/// Those of all threads of these processes, by their ids. What has ended has none.
#[must_use]
pub fn of(pids: impl Iterator<Item = i32>) -> BTreeMap<i32, Steps> {
    let threads = pids.flat_map(|pid| {
        let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        entries.filter_map(move |entry| Some((pid, entry.file_name().to_str()?.parse().ok()?)))
    });
    threads.filter_map(|(pid, tid)| Some((tid, read(pid, tid)?))).collect()
}

fn read(pid: i32, tid: i32) -> Option<Steps> {
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{name}")).ok();
    let (stat, status) = (file("stat")?, file("status")?);
    // The name of a program may have parentheses and blanks.
    let words: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| words.get(at)?.parse::<u64>().ok();
    let switches = status
        .lines()
        .filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok())
        .sum();
    Some(Steps { pid, switches, ticks: ticks(11)? + ticks(12)?, state: words.first()?.chars().next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_makes_steps_and_who_has_ended_has_none() {
        let own = std::process::id().cast_signed();
        let before = of([own].into_iter());
        std::thread::sleep(std::time::Duration::from_millis(5));
        let after = of([own].into_iter());
        let me = nix::unistd::gettid().as_raw();
        assert!(after[&me].are_more_than(&before[&me]) && !before[&me].are_more_than(&before[&me]));
        assert!(of([i32::MAX].into_iter()).is_empty());
    }
}
