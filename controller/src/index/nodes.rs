//! The nodes, and what follows from what is told of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use crik_api::{NodeState, NodeStatus, Reason};
use tokio::sync::broadcast;

use super::change::{Change, NodeChange};
use super::counts::Counts;
use super::entry::Entry;
use super::remembered::Moment;
use super::tracked::Tracked;
use super::waiters::Waiters;
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::shortened::shortened;
use crate::event::Event;
use crate::signals::{Observation, SOURCE_LOST};

/// The nodes by name.
pub struct Nodes {
    by_name: BTreeMap<Box<str>, Entry>,
    /// When which node is forgotten.
    forgotten: BTreeSet<(Moment, Box<str>)>,
    /// When which node is let go, once its source is heard.
    held: BTreeSet<(Moment, Box<str>)>,
    /// How many nodes are in each state.
    by_state: BTreeMap<&'static str, usize>,
    /// How many nodes that are there show each signal.
    shown: BTreeMap<Box<str>, usize>,
    /// How often each signal has appeared.
    appeared: BTreeMap<Box<str>, u64>,
    /// True once the first list is complete.
    pub listed: bool,
    /// How often all nodes were listed.
    listings: u64,
    /// How often the source failed.
    failures: u64,
    /// Why the source is lost, as long as it is.
    lost: Option<Reason>,
    /// Of that: someone who repairs a file wants to see the next error.
    complaint: Complaint,
    /// When anything was last heard from the source.
    heard: Option<Moment>,
    /// Tells this process's versions from those of another replica, or of itself before a restart.
    epoch: u64,
    /// The number of the last change.
    change: u64,
    /// Who waits for which node.
    pub waiters: Waiters,
    /// Where changes are told.
    pub changes: broadcast::Sender<Change>,
    /// Where it is told which nodes begin to shut down or end to.
    pub shutdowns: broadcast::Sender<Arc<NodeChange>>,
}

impl Nodes {
    /// None yet.
    pub fn new(epoch: u64) -> Self {
        Self {
            by_name: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            held: BTreeSet::new(),
            by_state: Counts::none(),
            shown: BTreeMap::new(),
            appeared: BTreeMap::new(),
            listed: false,
            listings: 0,
            failures: 0,
            lost: None,
            complaint: Complaint::default(),
            heard: None,
            epoch,
            change: 0,
            waiters: Waiters::default(),
            changes: broadcast::Sender::new(limits::CHANGES_KEPT),
            shutdowns: broadcast::Sender::new(limits::CHANGES_KEPT),
        }
    }

    /// Takes in what a source tells.
    pub fn apply(&mut self, event: Event, now: Moment) {
        match event {
            Event::Lost(_) => self.failures += 1,
            _ => self.heard = Some(now),
        }
        match event {
            Event::Listed(all) => take_in(all, now, |step| step(self)),
            // One node that is up to date says nothing of the others.
            Event::Applied(name, observation) => self.see(name, observation, now),
            Event::Deleted(name) => self.delete(&name, now),
            Event::Heard => self.heard(now),
            Event::Proved(silent) => self.heard(now.saturating_sub(silent)),
            Event::Lost(why) => self.lose(&why),
        }
    }

    /// Forgets the nodes that were gone long enough.
    pub fn tick(&mut self, now: Moment) {
        while let Some(name) = take_due(&mut self.forgotten, now) {
            self.pass_time(name, now);
        }
    }

    /// When the next node is forgotten.
    pub fn next_due(&self) -> Option<Moment> {
        self.forgotten.first().map(|(due, _)| *due)
    }

    /// What is said of a node.
    pub fn status(&self, name: &str) -> NodeStatus {
        self.describe(name, self.by_name.get(name))
    }

    /// The same as JSON.
    pub fn text(&self, name: &str) -> serde_json::Result<Bytes> {
        let entry = self.by_name.get(name);
        let write = || serde_json::to_vec(&self.describe(name, entry)).map(Bytes::from);
        // The loss of the source changes what is said of every node.
        match entry.filter(|_| self.lost.is_none()) {
            Some(entry) => entry.text(write),
            None => write(),
        }
    }

    /// What is said of the next nodes by name.
    pub fn page(&self, after: Option<&str>) -> Vec<NodeStatus> {
        let next = self.after(after).take(limits::NODES_AT_ONCE);
        next.map(|(name, entry)| self.describe(name, Some(entry))).collect()
    }

    /// The next names.
    pub fn names(&self, after: Option<&str>) -> Vec<Box<str>> {
        self.after(after).take(limits::NODES_AT_ONCE).map(|(name, _)| name.clone()).collect()
    }

    fn after(&self, name: Option<&str>) -> impl Iterator<Item = (&Box<str>, &Entry)> {
        self.by_name.range::<str, _>((name.map_or(Unbounded, Excluded), Unbounded))
    }

    /// The number of the last change, also of one that all nodes have in common.
    pub fn version(&self) -> u64 {
        self.change
    }

    /// Tells its versions from those of another process.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Numbers for metrics.
    pub fn counts(&self, now: Moment) -> Counts {
        Counts {
            nodes: self.by_state.clone(),
            shown: self.shown.clone(),
            appeared: self.appeared.clone(),
            silence: self.heard.map(|heard| now.saturating_sub(heard)),
            listed: self.listings,
            failed: self.failures,
            stale: self.lost.is_some(),
        }
    }

    fn describe(&self, name: &str, entry: Option<&Entry>) -> NodeStatus {
        let change = entry.map_or(0, |entry| entry.change);
        let stale = if self.lost.is_some() { "-stale" } else { "" };
        let (state, reasons) = self.state(entry);
        NodeStatus {
            name: name.to_owned(),
            state,
            version: format!("{:x}-{change}{stale}", self.epoch),
            reasons,
            hints: entry.map(|entry| entry.tracked.hints()).unwrap_or_default(),
            stale: self.lost.is_some(),
        }
    }

    /// What a node was tells nothing of what it is by now, except that what goes away does not come back by itself.
    fn state(&self, entry: Option<&Entry>) -> (NodeState, Vec<Reason>) {
        let Some(tracked) = entry.map(|entry| &entry.tracked) else {
            return (NodeState::Unknown, Vec::new());
        };
        match (tracked.state(), &self.lost) {
            (NodeState::Ready, Some(lost)) => (NodeState::Unknown, vec![lost.clone()]),
            (state, _) => (state, tracked.reasons()),
        }
    }

    /// What is known was all that there was then. Only what was due by then is let go: a node that nobody has seen since may have begun
    /// to shut down anew.
    fn heard(&mut self, then: Moment) {
        if self.lost.take().is_some() {
            self.complaint.is_news(None);
            tracing::info!("the source of nodes is back");
            self.each_held(|tracked| tracked.after(then));
            self.tell_all();
        }
        while let Some(name) = take_due(&mut self.held, then) {
            self.pass_time(name, then);
        }
    }

    fn pass_time(&mut self, name: Box<str>, now: Moment) {
        if let Some(tracked) = self.by_name.get(&name).map(|entry| entry.tracked.clone()) {
            self.store(name, tracked.after(now));
        }
    }

    /// Whatever becomes of nodes that are held in their states when their source is lost or back.
    fn each_held(&mut self, change: impl Fn(Tracked) -> Option<Tracked>) {
        let held = self.by_name.iter().filter(|(_, entry)| entry.tracked.is_held());
        let changed: Vec<_> =
            held.map(|(name, entry)| (name.clone(), change(entry.tracked.clone()))).collect();
        changed.into_iter().for_each(|(name, tracked)| self.store(name, tracked));
    }

    fn lose(&mut self, cause: &str) {
        if self.complaint.is_news(Some(cause)) {
            tracing::warn!("the source of nodes is lost, so states may be old: {cause}");
        }
        if self.lost.is_none() {
            let observed = shortened(format!("it was ready, but that is old: {cause}"));
            self.lost = Some(Reason { signal: SOURCE_LOST.to_owned(), observed });
            self.each_held(|tracked| Some(tracked.unheard()));
            self.tell_all();
        }
    }

    /// All that a list has was told.
    pub fn is_listed(&mut self, now: Moment) {
        self.heard = Some(now);
        self.listings += 1;
        if !self.listed {
            self.listed = true;
            self.waiters.wake_all();
            tracing::info!(nodes = self.by_name.len(), "the first list of nodes is complete");
        }
        self.heard(now);
    }

    /// A node is there. Most of what is told of one is that it lives, which changes nothing here.
    pub fn see(&mut self, name: Box<str>, observation: Observation, now: Moment) {
        let known = self.by_name.get(&name).map(|entry| &entry.tracked);
        if known.is_some_and(|tracked| tracked.stands(&observation)) {
            return;
        }
        for signal in observation.signals() {
            if !known.is_some_and(|tracked| tracked.observation().shows(signal)) {
                *self.appeared.entry(signal.into()).or_default() += 1;
            }
        }
        let tracked = match known {
            Some(tracked) => tracked.clone().seen(observation, now),
            None => Tracked::new(observation),
        };
        let tracked = if self.lost.is_some() { tracked.unheard() } else { tracked };
        self.store(name, Some(tracked));
    }

    /// A node was deleted.
    pub fn delete(&mut self, name: &str, now: Moment) {
        if let Some((name, entry)) = self.by_name.get_key_value(name) {
            let tracked = entry.tracked.clone().deleted(now);
            self.store(name.clone(), Some(tracked));
        }
    }

    /// Puts `tracked` in the place of what is there, or forgets it; counts and tells a change only if it is one that can
    /// be seen from outside.
    fn store(&mut self, name: Box<str>, tracked: Option<Tracked>) {
        let before = self.by_name.remove(&name);
        let was = before.as_ref().map_or(NodeState::Unknown, |entry| entry.tracked.state());
        let state = tracked.as_ref().map_or(NodeState::Unknown, Tracked::state);
        let same = match (&before, &tracked) {
            (Some(before), Some(now)) => before.tracked.looks_like(now),
            _ => false,
        };
        self.forget_due(&name, before.as_ref().map(|entry| &entry.tracked));
        self.note_due(&name, tracked.as_ref());
        self.count(was, state);
        self.count_shown(before.as_ref().map(|entry| &entry.tracked), tracked.as_ref());
        let change = before.as_ref().filter(|_| same).map_or(self.change + 1, |entry| entry.change);
        self.change = self.change.max(change);
        let last = tracked.as_ref().or(before.as_ref().map(|entry| &entry.tracked)).map(Tracked::identity);
        if let Some(tracked) = tracked {
            self.by_name.insert(name.clone(), Entry::new(tracked, change));
        }
        if !same && let Some((uid, boot_id)) = last {
            self.tell(&name, was, uid, boot_id);
        }
    }

    fn forget_due(&mut self, name: &str, before: Option<&Tracked>) {
        let remove = |set: &mut BTreeSet<_>, due: Moment| set.remove(&(due, name.into()));
        before.and_then(Tracked::forgotten_at).map(|due| remove(&mut self.forgotten, due));
        before.and_then(Tracked::held_until).map(|due| remove(&mut self.held, due));
    }

    fn note_due(&mut self, name: &str, tracked: Option<&Tracked>) {
        let insert = |set: &mut BTreeSet<_>, due: Moment| set.insert((due, name.into()));
        tracked.and_then(Tracked::forgotten_at).map(|due| insert(&mut self.forgotten, due));
        tracked.and_then(Tracked::held_until).map(|due| insert(&mut self.held, due));
    }

    fn count(&mut self, was: NodeState, state: NodeState) {
        if let Some(number) = self.by_state.get_mut(was.as_str()) {
            *number -= 1;
        }
        if let Some(number) = self.by_state.get_mut(state.as_str()) {
            *number += 1;
        }
    }

    fn count_shown(&mut self, before: Option<&Tracked>, now: Option<&Tracked>) {
        let signals = |tracked: Option<&Tracked>| -> Vec<Box<str>> {
            let there = tracked.filter(|tracked| tracked.state() != NodeState::Gone);
            there.into_iter().flat_map(|tracked| tracked.observation().signals()).map(Into::into).collect()
        };
        for signal in signals(now) {
            *self.shown.entry(signal).or_default() += 1;
        }
        for signal in signals(before) {
            if let Some(number) = self.shown.get_mut(&signal) {
                *number -= 1;
                if *number == 0 {
                    self.shown.remove(&signal);
                }
            }
        }
    }

    fn tell(&self, name: &str, was: NodeState, uid: Box<str>, boot_id: Box<str>) {
        self.waiters.wake(name);
        let status = self.status(name);
        // Ready nodes of the first list would be a line each.
        if was != status.state && (was, status.state) != (NodeState::Unknown, NodeState::Ready) {
            tracing::info!(node = name, from = %was, to = %status.state, "node state changed");
        }
        let change = Arc::new(NodeChange { was, status, uid, boot_id, text: OnceLock::new() });
        // Nobody may listen.
        if (was == NodeState::ShuttingDown) != (change.status.state == NodeState::ShuttingDown) {
            let _ = self.shutdowns.send(Arc::clone(&change));
        }
        let _ = self.changes.send(Change::Node(change));
    }

    fn tell_all(&mut self) {
        self.change += 1;
        self.waiters.wake_all();
        let _ = self.changes.send(Change::Source);
    }
}

/// The first name whose time has come, if there is one.
fn take_due(due: &mut BTreeSet<(Moment, Box<str>)>, now: Moment) -> Option<Box<str>> {
    due.first().filter(|(due, _)| *due <= now)?;
    due.pop_first().map(|(_, name)| name)
}

/// Takes in all nodes that exist, in steps between which others may look. A list has no deletions: a node that is not in it
/// any more was deleted meanwhile.
pub fn take_in(
    all: Vec<(Box<str>, Observation)>,
    now: Moment,
    mut step: impl FnMut(&mut dyn FnMut(&mut Nodes)),
) {
    for missing in missing(&all, &mut step) {
        step(&mut |nodes| nodes.delete(&missing, now));
    }
    let mut rest = all.into_iter().peekable();
    while rest.peek().is_some() {
        step(&mut |nodes| {
            let some = rest.by_ref().take(limits::NODES_AT_ONCE);
            some.for_each(|(name, observation)| nodes.see(name, observation, now));
        });
    }
    step(&mut |nodes| nodes.is_listed(now));
}

/// Those that are known and not in the list.
fn missing(
    all: &[(Box<str>, Observation)],
    step: &mut impl FnMut(&mut dyn FnMut(&mut Nodes)),
) -> Vec<Box<str>> {
    let listed: HashSet<&str> = all.iter().map(|(name, _)| &**name).collect();
    let (mut missing, mut names) = (Vec::new(), Vec::new());
    loop {
        let after: Option<Box<str>> = names.pop();
        step(&mut |nodes| names = nodes.names(after.as_deref()));
        if names.is_empty() {
            return missing;
        }
        missing.extend(names.iter().filter(|name| !listed.contains(&***name)).cloned());
    }
}
