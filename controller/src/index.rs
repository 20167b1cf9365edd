//! All nodes, and who waits for which of them to change.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crik_api::{NodeState, NodeStatus};
use tokio::sync::watch;

use crate::event::Event;
use crate::node::Node;
use crate::signals::observe;
use crate::state::{Moment, Tracked};

/// The nodes by name. Cheap to ask, and a waiter is woken only if some node's status has changed.
pub struct Index {
    nodes: Mutex<Nodes>,
    changes: watch::Sender<u64>,
    born: Instant,
    /// Tells this process's versions from those of another replica, or of itself before a restart. Random, since
    /// replicas may start at the same time and a clock may be set back.
    epoch: u64,
}

#[derive(Default)]
struct Nodes {
    by_name: BTreeMap<String, Entry>,
    listed: bool,
    /// Why the source is lost, as long as it is.
    lost: Option<String>,
    changes: u64,
}

struct Entry {
    /// As last seen, for when time alone changes the state.
    node: Node,
    tracked: Tracked,
    /// The number of the change that made it what it is.
    change: u64,
}

impl Index {
    /// One that knows nothing yet, and says so.
    pub fn new() -> Self {
        let epoch = RandomState::new().hash_one(std::process::id());
        Self { nodes: Mutex::default(), changes: watch::Sender::new(0), born: Instant::now(), epoch }
    }

    /// Takes in what a source tells.
    pub fn apply(&self, event: Event) {
        let now = self.now();
        let mut nodes = self.lock();
        if !matches!(event, Event::Lost(_)) {
            nodes.recover();
        }
        match event {
            Event::Listed(all) => nodes.list(all, now),
            Event::Applied(node) => nodes.see(node, now),
            Event::Deleted(name) => nodes.delete(&name, now),
            Event::Lost(why) => nodes.lose(why),
        }
        self.tell(&nodes);
    }

    /// Does what is due by time alone: lets latches go and forgets deleted nodes.
    pub fn tick(&self) {
        let now = self.now();
        let mut nodes = self.lock();
        let due = |entry: &Entry| entry.tracked.due().is_some_and(|due| due <= now);
        let late: Vec<Node> =
            nodes.by_name.values().filter(|entry| due(entry)).map(|e| e.node.clone()).collect();
        for node in late {
            if nodes.by_name.get(&node.name).is_some_and(|entry| entry.tracked.forgettable(now)) {
                nodes.changes += 1;
                nodes.by_name.remove(&node.name);
            } else {
                nodes.see(node, now);
            }
        }
        self.tell(&nodes);
    }

    /// When [`Index::tick`] is next due.
    pub fn next_due(&self) -> Option<Instant> {
        let due = self.lock().by_name.values().filter_map(|entry| entry.tracked.due()).min();
        due.map(|due| self.born + due)
    }

    /// True once the first list is complete.
    pub fn is_ready(&self) -> bool {
        self.lock().listed
    }

    /// The status of one node; `unknown` if it was never seen. None until the first list is complete.
    pub fn get(&self, name: &str) -> Option<NodeStatus> {
        let nodes = self.lock();
        nodes.listed.then(|| self.status(&nodes, name))
    }

    /// The statuses of all nodes. None until the first list is complete.
    pub fn all(&self) -> Option<Vec<NodeStatus>> {
        let nodes = self.lock();
        nodes.listed.then(|| nodes.by_name.keys().map(|name| self.status(&nodes, name)).collect())
    }

    /// Changes whenever any node's status does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn status(&self, nodes: &Nodes, name: &str) -> NodeStatus {
        let entry = nodes.by_name.get(name);
        let change = entry.map_or(0, |entry| entry.change);
        let stale = if nodes.lost.is_some() { "-stale" } else { "" };
        NodeStatus {
            name: name.to_owned(),
            state: entry.map_or(NodeState::Unknown, |entry| entry.tracked.state),
            version: format!("{:x}-{change}{stale}", self.epoch),
            reasons: entry.map(|entry| entry.tracked.reasons.clone()).unwrap_or_default(),
            hints: entry.map(|entry| entry.tracked.hints.clone()).unwrap_or_default(),
            stale: nodes.lost.is_some(),
        }
    }

    fn tell(&self, nodes: &Nodes) {
        self.changes.send_if_modified(|seen| std::mem::replace(seen, nodes.changes) != nodes.changes);
    }

    fn now(&self) -> Moment {
        self.born.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    fn recover(&mut self) {
        if self.lost.take().is_some() {
            tracing::info!("the source of nodes is back");
            self.changes += 1;
        }
    }

    /// Says each cause once, however often it is tried again: someone who repairs a file wants to see the next error.
    fn lose(&mut self, why: String) {
        if self.lost.as_ref() == Some(&why) {
            return;
        }
        tracing::warn!("the source of nodes is lost, so states may be old: {why}");
        self.changes += u64::from(self.lost.is_none());
        self.lost = Some(why);
    }

    /// A list has no deletions: a node that is not in it any more was deleted meanwhile.
    fn list(&mut self, all: Vec<Node>, now: Moment) {
        let listed: BTreeSet<&str> = all.iter().map(|node| &*node.name).collect();
        let missing: Vec<String> =
            self.by_name.keys().filter(|name| !listed.contains(&***name)).cloned().collect();
        missing.iter().for_each(|name| self.delete(name, now));
        all.into_iter().for_each(|node| self.see(node, now));
        if !self.listed {
            self.listed = true;
            self.changes += 1;
            tracing::info!(nodes = self.by_name.len(), "the first list of nodes is complete");
        }
    }

    fn see(&mut self, node: Node, now: Moment) {
        let seen = observe(&node);
        let tracked = match self.by_name.get(&node.name) {
            Some(entry) => entry.tracked.clone().seen(&node, &seen, now),
            None => Tracked::new(&node, &seen),
        };
        self.store(node, tracked);
    }

    fn delete(&mut self, name: &str, now: Moment) {
        let Some(entry) = self.by_name.get(name) else { return };
        let (node, tracked) = (entry.node.clone(), entry.tracked.clone().deleted(now));
        self.store(node, tracked);
    }

    /// Counts a change only if it is one that can be seen from outside.
    fn store(&mut self, node: Node, tracked: Tracked) {
        let visible = |tracked: &Tracked| (tracked.state, tracked.reasons.clone(), tracked.hints.clone());
        let before = self.by_name.get(&node.name);
        let state = before.map_or(NodeState::Unknown, |entry| entry.tracked.state);
        let same = before.is_some_and(|entry| visible(&entry.tracked) == visible(&tracked));
        if !same {
            self.changes += 1;
        }
        if state != tracked.state {
            tracing::info!(node = node.name, from = %state, to = %tracked.state, "node state changed");
        }
        let change = before.filter(|_| same).map_or(self.changes, |entry| entry.change);
        self.by_name.insert(node.name.clone(), Entry { node, tracked, change });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        Node { name: name.to_owned(), ..Node::default() }
    }

    fn cordoned(name: &str) -> Node {
        Node { unschedulable: true, ..node(name) }
    }

    fn state(index: &Index, name: &str) -> NodeState {
        index.get(name).unwrap().state
    }

    #[test]
    fn nothing_is_said_before_the_first_list() {
        let index = Index::new();
        index.apply(Event::Applied(node("a")));
        assert_eq!((index.get("a"), index.is_ready()), (None, false));
        index.apply(Event::Listed(vec![node("a")]));
        assert_eq!((state(&index, "a"), state(&index, "b")), (NodeState::Ready, NodeState::Unknown));
    }

    #[test]
    fn a_node_that_a_list_lacks_is_gone() {
        let index = Index::new();
        index.apply(Event::Listed(vec![node("a"), node("b")]));
        index.apply(Event::Listed(vec![node("b")]));
        assert_eq!((state(&index, "a"), state(&index, "b")), (NodeState::Gone, NodeState::Ready));
    }

    #[test]
    fn a_version_changes_only_with_its_own_node() {
        let index = Index::new();
        index.apply(Event::Listed(vec![node("a"), node("b")]));
        let versions = || (index.get("a").unwrap().version, index.get("b").unwrap().version);
        let before = versions();
        index.apply(Event::Applied(node("a")));
        assert_eq!(versions(), before);
        index.apply(Event::Applied(cordoned("a")));
        assert_ne!(versions().0, before.0);
        assert_eq!(versions().1, before.1);
    }

    #[test]
    fn what_is_stale_says_so_until_the_source_is_back() {
        let index = Index::new();
        index.apply(Event::Listed(vec![node("a")]));
        index.apply(Event::Lost("no route".to_owned()));
        assert!(index.get("a").unwrap().stale);
        index.apply(Event::Applied(cordoned("a")));
        let status = index.get("a").unwrap();
        assert_eq!((status.stale, status.state), (false, NodeState::Cordoned));
    }

    #[test]
    fn each_cause_of_a_loss_wakes_waiters_once() {
        let index = Index::new();
        index.apply(Event::Listed(vec![node("a")]));
        index.apply(Event::Lost("no route".to_owned()));
        let version = index.get("a").unwrap().version;
        index.apply(Event::Lost("no permission".to_owned()));
        assert_eq!(index.get("a").unwrap().version, version);
    }

    #[test]
    fn no_two_processes_share_a_version() {
        let version = |index: &Index| {
            index.apply(Event::Listed(Vec::new()));
            index.get("a").unwrap().version
        };
        assert_ne!(version(&Index::new()), version(&Index::new()));
    }

    #[test]
    fn waiters_are_woken_by_changes_only() {
        let index = Index::new();
        index.apply(Event::Listed(vec![node("a")]));
        let mut changes = index.changes();
        changes.mark_unchanged();
        index.apply(Event::Applied(node("a")));
        assert!(!changes.has_changed().unwrap());
        index.apply(Event::Deleted("a".to_owned()));
        assert!(changes.has_changed().unwrap());
    }
}
