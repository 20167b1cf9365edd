use std::time::Duration;

use crik_api::{NodeState, Reason};
use futures_util::FutureExt as _;

use super::*;
use crate::base::limits;
use crate::signals::{Class, Observation, Ready};

fn ready() -> Observation {
    Observation { uid: "u1".into(), boot_id: "b1".into(), ready: Ready::True, ..Observation::default() }
}

fn with(class: Class, signal: &str) -> Observation {
    let reason = Reason { signal: signal.to_owned(), observed: "as a test says".to_owned() };
    Observation { signals: Box::new([(class, reason)]), ..ready() }
}

fn cordoned() -> Observation {
    with(Class::Cordoned, "cordon")
}

fn listed(all: &[(&str, Observation)]) -> Event {
    Event::Listed(all.iter().map(|(name, observation)| ((*name).into(), observation.clone())).collect())
}

fn applied(name: &str, observation: Observation) -> Event {
    Event::Applied(name.into(), observation)
}

/// An index of ready nodes.
fn index_of(names: &[&str]) -> Arc<Index> {
    let index = Arc::new(Index::new());
    index.apply(listed(&names.iter().map(|name| (*name, ready())).collect::<Vec<_>>()));
    index
}

fn state(index: &Index, name: &str) -> NodeState {
    index.get(name).unwrap().state
}

fn is_woken(waiter: &mut Waiter) -> bool {
    waiter.changed().now_or_never().is_some()
}

#[test]
fn nothing_is_said_before_the_first_list() {
    let index = Index::new();
    index.apply(applied("a", ready()));
    assert_eq!((index.get("a"), index.all(), index.is_ready()), (None, None, false));
    index.apply(listed(&[("a", ready())]));
    assert_eq!((state(&index, "a"), state(&index, "b")), (NodeState::Ready, NodeState::Unknown));
}

#[test]
fn a_node_that_a_list_lacks_is_gone() {
    let index = index_of(&["a", "b"]);
    index.apply(listed(&[("b", ready())]));
    assert_eq!((state(&index, "a"), state(&index, "b")), (NodeState::Gone, NodeState::Ready));
}

#[test]
fn a_gone_node_is_forgotten_in_time() {
    let index = index_of(&["a"]);
    let mut nodes = index.lock();
    let deleted = Duration::from_secs(1);
    nodes.apply(Event::Deleted("a".into()), deleted);
    assert_eq!(nodes.next_due(), Some(deleted + limits::GONE_KEPT));
    nodes.tick(deleted + limits::GONE_KEPT - Duration::from_secs(1));
    assert_eq!(nodes.status("a").state, NodeState::Gone);
    nodes.tick(deleted + limits::GONE_KEPT);
    assert_eq!((nodes.status("a").state, nodes.next_due()), (NodeState::Unknown, None));
}

#[test]
fn a_latch_lets_go_when_its_source_is_heard_and_wakes_waiters() {
    let index = index_of(&["a"]);
    index.apply(applied("a", with(Class::ShuttingDown, "kubelet-shutdown")));
    let mut waiter = index.watch("a");
    let healthy = Duration::from_secs(1);
    index.lock().apply(applied("a", ready()), healthy);
    assert!(!is_woken(&mut waiter));
    index.lock().apply(Event::Heard, healthy + limits::LATCH - Duration::from_millis(1));
    assert!(!is_woken(&mut waiter));
    index.lock().apply(Event::Heard, healthy + limits::LATCH);
    assert!(is_woken(&mut waiter));
    assert_eq!((state(&index, "a"), index.next_due()), (NodeState::Ready, None));
}

#[test]
fn a_latch_stays_while_the_watch_is_silent_though_the_api_server_is_well() {
    let index = index_of(&["a"]);
    let mut nodes = index.lock();
    let (healthy, second) = (Duration::from_secs(1), Duration::from_secs(1));
    nodes.apply(applied("a", with(Class::ShuttingDown, "kubelet-shutdown")), healthy);
    nodes.apply(applied("a", ready()), healthy);
    // The last sign came a second before it was due.
    for later in 0..20 {
        let now = healthy + limits::LATCH + later * second;
        nodes.apply(Event::Proved((later + 1) * second), now);
        assert_eq!(nodes.status("a").state, NodeState::ShuttingDown);
    }
    nodes.apply(Event::Proved(second), healthy + limits::LATCH + second);
    assert_eq!(nodes.status("a").state, NodeState::Ready);
}

/// What holds a node in its state: a shutdown, and an absence in which its pods were deleted.
fn held() -> [(Observation, NodeState, Duration); 2] {
    let absent = Observation { ready: Ready::Unknown, ..with(Class::Unreachable, "unreachable-eviction") };
    [
        (with(Class::ShuttingDown, "kubelet-shutdown"), NodeState::ShuttingDown, limits::LATCH),
        (absent, NodeState::Evicting, limits::ABSENCE_KEPT),
    ]
}

#[test]
fn nothing_lets_go_by_itself_while_nobody_looks() {
    for (seen, held, kept) in held() {
        let index = index_of(&["a"]);
        let mut nodes = index.lock();
        let healthy = Duration::from_secs(100);
        nodes.apply(applied("a", seen), healthy);
        nodes.apply(applied("a", ready()), healthy);
        // The source may be away for a while before that is noticed.
        nodes.tick(healthy + 10 * kept);
        assert_eq!(nodes.status("a").state, held);
        // Causes come in turns, and between them a little is told.
        for (number, cause) in ["no route", "no leader", "no leader", "no route"].into_iter().enumerate() {
            let now = healthy + kept * u32::try_from(number + 1).unwrap();
            nodes.apply(Event::Lost(cause.to_owned()), now);
            nodes.apply(applied("a", Observation { boot_id: "".into(), ..ready() }), now);
            nodes.apply(applied("a", ready()), now);
            nodes.tick(now + kept);
            assert_eq!(nodes.status("a").state, held, "{cause}");
        }
        let back = healthy + 100 * kept;
        nodes.apply(Event::Heard, back);
        nodes.apply(Event::Heard, back + kept - Duration::from_millis(1));
        assert_eq!(nodes.status("a").state, held);
        nodes.apply(Event::Heard, back + kept);
        assert_eq!(nodes.status("a").state, NodeState::Ready);
    }
}

#[test]
fn whoever_keeps_time_is_told_when_it_matters() {
    let index = index_of(&["a"]);
    let told = || index.due_changed().now_or_never().is_some();
    index.apply(applied("a", cordoned()));
    assert!(!told());
    index.apply(Event::Deleted("a".into()));
    assert!(told() && !told());
    index.apply(applied("a", ready()));
    assert!(told());
}

#[test]
fn a_version_changes_only_with_its_own_node() {
    let index = index_of(&["a", "b"]);
    let versions = || (index.get("a").unwrap().version, index.get("b").unwrap().version);
    let before = versions();
    index.apply(applied("a", ready()));
    assert_eq!(versions(), before);
    index.apply(applied("a", cordoned()));
    assert_ne!(versions().0, before.0);
    assert_eq!(versions().1, before.1);
}

#[test]
fn what_is_stale_says_so_until_the_source_is_back() {
    let index = index_of(&["a"]);
    index.apply(Event::Lost("no route".to_owned()));
    assert!(index.get("a").unwrap().stale && index.counts().stale);
    let status = index.get("a").unwrap();
    let [reason] = &status.reasons[..] else { panic!("{status:?}") };
    assert_eq!((status.state, &*reason.signal), (NodeState::Unknown, "source-lost"));
    assert!(reason.observed.contains("it was ready") && reason.observed.contains("no route"), "{reason:?}");
    index.apply(applied("a", cordoned()));
    assert_eq!((state(&index, "a"), index.get("a").unwrap().stale), (NodeState::Cordoned, true));
    index.apply(Event::Heard);
    assert!(!index.get("a").unwrap().stale && !index.counts().stale);
    assert_eq!(state(&index, "a"), NodeState::Cordoned);
}

#[test]
fn of_what_was_known_only_good_health_is_doubted_when_the_source_is_lost() {
    let classes = [Class::Cordoned, Class::Evicting, Class::Draining, Class::ShuttingDown];
    let nodes = classes.map(|class| (format!("{class:?}"), with(class, "s")));
    let nodes: Vec<_> = nodes.iter().map(|(name, seen)| (&**name, seen.clone())).collect();
    let index = Index::new();
    index.apply(listed(&nodes));
    let before: Vec<_> = index.all().unwrap().into_iter().map(|a| (a.state, a.reasons)).collect();
    index.apply(Event::Lost("no route".to_owned()));
    let after: Vec<_> = index.all().unwrap().into_iter().map(|a| (a.state, a.reasons)).collect();
    assert_eq!(before, after);
}

#[test]
fn a_loss_wakes_all_waiters_once_and_the_return_again() {
    let index = index_of(&["a"]);
    let (mut known, mut unknown) = (index.watch("a"), index.watch("b"));
    index.apply(Event::Lost("no route".to_owned()));
    assert!(is_woken(&mut known) && is_woken(&mut unknown));
    let version = index.get("a").unwrap().version;
    index.apply(Event::Lost("no permission".to_owned()));
    assert!(!is_woken(&mut known));
    assert_eq!(index.get("a").unwrap().version, version);
    index.apply(Event::Heard);
    assert!(is_woken(&mut known) && is_woken(&mut unknown));
}

#[test]
fn no_two_processes_share_a_version() {
    let version = || index_of(&["a"]).get("a").unwrap().version;
    assert_ne!(version(), version());
}

#[test]
fn a_waiter_is_woken_by_its_own_node_only() {
    let index = index_of(&["a", "b"]);
    let (mut a, mut b, mut new) = (index.watch("a"), index.watch("b"), index.watch("new"));
    index.apply(applied("a", ready()));
    assert!(!is_woken(&mut a));
    index.apply(applied("a", cordoned()));
    assert!(is_woken(&mut a) && !is_woken(&mut a));
    assert!(!is_woken(&mut b) && !is_woken(&mut new));
    index.apply(applied("new", ready()));
    assert!(is_woken(&mut new) && !is_woken(&mut b));
    index.apply(Event::Deleted("b".into()));
    assert!(is_woken(&mut b));
}

#[test]
fn the_first_list_wakes_those_who_waited_for_it() {
    let index = Arc::new(Index::new());
    let mut waiter = index.watch("a");
    index.apply(listed(&[("b", ready())]));
    assert!(is_woken(&mut waiter));
    assert_eq!(waiter.status().unwrap().state, NodeState::Unknown);
}

#[test]
fn waiters_that_are_gone_leave_nothing_behind() {
    let index = index_of(&["a"]);
    let (first, second) = (index.watch("a"), index.watch("a"));
    assert_eq!(index.lock().waiters.count(), 2);
    drop(first);
    assert_eq!(index.lock().waiters.count(), 1);
    drop(second);
    let waiters = &index.lock().waiters;
    assert_eq!((waiters.count(), waiters.bells()), (0, 0));
}

#[test]
fn subscribers_are_told_each_change() {
    let index = index_of(&["a"]);
    let mut changes = index.subscribe();
    index.apply(applied("a", cordoned()));
    let Ok(Change::Node(change)) = changes.try_recv() else { panic!("not told") };
    assert_eq!((change.was, change.status.state), (NodeState::Ready, NodeState::Cordoned));
    assert_eq!((&*change.uid, &*change.boot_id), ("u1", "b1"));
    assert_eq!(Some(&change.status), index.get("a").as_ref());
    index.apply(Event::Lost("no route".to_owned()));
    assert!(matches!(changes.try_recv(), Ok(Change::Source)));
    index.apply(Event::Heard);
    assert!(matches!(changes.try_recv(), Ok(Change::Source)));
    assert!(changes.try_recv().is_err());
}

#[test]
fn a_subscriber_that_falls_behind_is_told_so() {
    let index = index_of(&["a"]);
    let mut changes = index.subscribe();
    for _ in 0..limits::CHANGES_KEPT {
        index.apply(applied("a", cordoned()));
        index.apply(applied("a", ready()));
    }
    let lagged = changes.try_recv().unwrap_err();
    assert!(matches!(lagged, broadcast::error::TryRecvError::Lagged(_)), "{lagged:?}");
}

#[test]
fn shutdowns_are_told_on_their_own() {
    let index = Index::new();
    let mut shutdowns = index.shutdowns();
    let off = || with(Class::ShuttingDown, "kubelet-shutdown");
    let many: Vec<String> = (0..2 * limits::CHANGES_KEPT).map(|number| format!("n{number}")).collect();
    let mut nodes: Vec<_> = many.iter().map(|name| (name.as_str(), ready())).collect();
    nodes[0].1 = off();
    index.apply(listed(&nodes));
    index.apply(applied("n0", off()));
    index.apply(applied("n1", cordoned()));
    index.apply(Event::Deleted("n0".into()));
    let told: Vec<_> = std::iter::from_fn(|| shutdowns.try_recv().ok()).collect();
    let told: Vec<_> =
        told.iter().map(|change| (&*change.status.name, change.was, change.status.state)).collect();
    let begun = ("n0", NodeState::Unknown, NodeState::ShuttingDown);
    assert_eq!(told, [begun, ("n0", NodeState::ShuttingDown, NodeState::Gone)]);
}

#[test]
fn everything_is_counted() {
    let index = Index::new();
    assert_eq!(index.counts().silence, None);
    index.apply(listed(&[("a", ready()), ("b", cordoned()), ("c", ready())]));
    index.apply(applied("b", ready()));
    index.apply(applied("b", cordoned()));
    index.apply(applied("b", cordoned()));
    index.apply(Event::Deleted("c".into()));
    let counts = index.counts();
    let nodes =
        [("cordoned", 1), ("draining", 0), ("evicting", 0), ("gone", 1), ("ready", 1), ("shutting-down", 0)];
    assert_eq!(counts.nodes, nodes.into());
    assert_eq!(counts.shown, [("cordon".into(), 1)].into());
    assert_eq!(counts.appeared, [("cordon".into(), 2)].into());
    assert!(counts.silence.is_some());
}
