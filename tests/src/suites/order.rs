//! Which suite comes next, and which may not be beside which.

use super::Suite;

/// Those that take a minute or more, the longest first: what comes last then is short, and nothing runs on alone at the end. Where a
/// suite stands decides only how long all of it takes.
const LONGEST: [&str; 17] = [
    "faulty_volume",
    "cluster",
    "workloads",
    "nfs",
    "doctor_mends",
    "killed_criu",
    "evictions",
    "holds",
    "images",
    "reports",
    "moves",
    "injection",
    "clocks",
    "kubernetes_outages",
    "kubernetes_faults",
    "deadline",
    "periodic",
];

/// Suites of which only one runs at a time.
const APART: [&[&str]; 1] = [
    // A machine has one cluster at a time, and `cluster_up` looks for what one has left.
    &["cluster", "cluster_up"],
];

/// The suites that have not been begun yet.
pub(super) struct Queue(Vec<Suite>);

impl Queue {
    /// The longest first, then the others by name.
    pub(super) fn new(mut suites: Vec<Suite>) -> Self {
        suites.sort_by_key(|Suite { name, .. }| (place(name), name.clone()));
        Self(suites)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first that may be beside those that run.
    pub(super) fn next<'a>(&mut self, running: impl Iterator<Item = &'a str> + Clone) -> Option<Suite> {
        let may_begin = |suite: &Suite| running.clone().all(|other| may_meet(&suite.name, other));
        let next = self.0.iter().position(may_begin)?;
        Some(self.0.remove(next))
    }
}

fn place(name: &str) -> usize {
    LONGEST.iter().position(|long| *long == name).unwrap_or(LONGEST.len())
}

fn may_meet(one: &str, other: &str) -> bool {
    !APART.iter().any(|group| group.contains(&one) && group.contains(&other))
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::path::Path;

    use super::*;
    use crate::build::workspace;

    fn queue(names: &[&str]) -> Queue {
        Queue::new(names.iter().map(|name| Suite::of(name, Path::new("/bin/true"))).collect())
    }

    fn next(queue: &mut Queue, running: &[&str]) -> Option<String> {
        queue.next(running.iter().copied()).map(|suite| suite.name)
    }

    #[test]
    fn the_longest_come_first_and_all_come() {
        let mut queue = queue(&["access", "nfs", "bin crik", "faulty_volume"]);
        let order: Vec<String> = iter::from_fn(|| next(&mut queue, &[])).collect();
        assert_eq!(order, ["faulty_volume", "nfs", "access", "bin crik"]);
    }

    #[test]
    fn what_is_to_be_apart_waits_and_nothing_else_waits_for_it() {
        let mut queue = queue(&["access", "cluster_up"]);
        assert_eq!(next(&mut queue, &["cluster", "nfs"]).as_deref(), Some("access"));
        assert!(next(&mut queue, &["cluster", "nfs"]).is_none() && !queue.is_empty());
        assert_eq!(next(&mut queue, &["nfs"]).as_deref(), Some("cluster_up"));
    }

    #[test]
    fn only_suites_that_exist_are_named() {
        for name in LONGEST.iter().chain(APART.iter().copied().flatten()) {
            let path = workspace().join("tests/tests").join(name);
            assert!(path.is_dir() || path.with_extension("rs").is_file(), "there is no suite {name}");
        }
    }
}
