use std::time::Duration;

use crik_api::report::{Move, Step};
use k8s_openapi::jiff::Timestamp;

use super::*;

const DEADLINE: Duration = Duration::from_secs(300);

/// So many seconds after the first eviction.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

/// A move of which this was written so many seconds after the first eviction.
fn moving(step: Step, written: i64) -> Move {
    Move { asked: at(0).to_string(), step, at: at(written).to_string(), why: None }
}

fn facts(moving: Option<&Move>) -> Facts<'_> {
    Facts {
        is_running: true,
        is_ending: false,
        is_protected: true,
        node_goes: false,
        moving,
        deadline: DEADLINE,
    }
}

fn verdict(moving: Option<&Move>, now: i64) -> Verdict {
    decide(Some(&facts(moving)), true, true, at(now))
}

#[test]
fn a_pod_that_has_nothing_to_wait_for_is_let_go_at_once() {
    let now = at(0);
    let reason = |pod: Facts<'static>| decide(Some(&pod), true, true, now);
    for (pod, expected) in [
        (Facts { is_running: false, ..facts(None) }, Reason::NotRunning),
        (Facts { is_ending: true, ..facts(None) }, Reason::NotRunning),
        (Facts { is_protected: false, ..facts(None) }, Reason::Unprotected),
        (Facts { node_goes: true, ..facts(None) }, Reason::NodeGoes),
    ] {
        assert_eq!(reason(pod), Verdict::Allow(expected));
    }
    assert_eq!(decide(None, true, true, now), Verdict::Allow(Reason::Unknown));
    assert_eq!(decide(Some(&facts(None)), true, false, now), Verdict::Allow(Reason::Budget));
}

#[test]
fn the_first_eviction_asks_the_agent_or_waits_for_others() {
    assert_eq!(verdict(None, 0), Verdict::Ask);
    assert_eq!(decide(Some(&facts(None)), false, true, at(0)), Verdict::Queue);
    let waiting = moving(Step::Waiting, 0);
    assert_eq!(verdict(Some(&waiting), 3), Verdict::Ask, "there is room now");
    let still = decide(Some(&facts(Some(&waiting))), false, true, at(3));
    assert_eq!(still, Verdict::Wait { since: at(0), for_others: true });
}

/// What comes of each step as time goes by.
#[test]
fn an_eviction_waits_as_long_as_there_is_something_to_wait_for() {
    let wait = Verdict::Wait { since: at(0), for_others: false };
    let allow = Verdict::Allow;
    for (step, written, now, expected) in [
        (Step::Asked, 0, 9, wait),
        (Step::Asked, 0, 10, allow(Reason::Unheard)),
        // It has waited for others before.
        (Step::Asked, 200, 209, wait),
        (Step::Asked, 200, 210, allow(Reason::Unheard)),
        (Step::Asked, 295, 299, wait),
        (Step::Asked, 295, 300, allow(Reason::Late)),
        (Step::Begun, 1, 299, wait),
        (Step::Begun, 1, 300, allow(Reason::Late)),
        (Step::Waiting, 0, 300, allow(Reason::Late)),
        (Step::Durable, 20, 21, allow(Reason::Durable)),
        (Step::Failed, 20, 21, allow(Reason::Failed)),
        (Step::Stayed, 80, 81, allow(Reason::Stayed)),
        (Step::Other, 20, 21, allow(Reason::Stayed)),
        (Step::Stayed, 80, 379, allow(Reason::Stayed)),
    ] {
        assert_eq!(verdict(Some(&moving(step, written)), now), expected, "{step:?} {written} {now}");
    }
}

#[test]
fn what_was_over_long_ago_counts_as_none() {
    for (step, written, now) in [
        (Step::Stayed, 80, 380),
        (Step::Failed, 20, 320),
        (Step::Durable, 20, 320),
        (Step::Begun, 1, 600),
        (Step::Waiting, 0, 600),
        (Step::Asked, 0, 310),
    ] {
        let before = verdict(Some(&moving(step, written)), now - 1);
        assert!(matches!(before, Verdict::Allow(_)), "{step:?}: {before:?}");
        assert_eq!(verdict(Some(&moving(step, written)), now), Verdict::Ask, "{step:?}");
    }
}

#[test]
fn who_comes_back_each_twenty_seconds_is_let_go_however_short_the_deadline_is() {
    for deadline in [0, 1, 5, 20, 300] {
        for step in [Step::Asked, Step::Stayed, Step::Failed] {
            let moving = moving(step, 0);
            let pod = Facts { deadline: Duration::from_secs(deadline), ..facts(Some(&moving)) };
            for now in (20..=280).step_by(20) {
                let found = decide(Some(&pod), true, true, at(now));
                assert!(matches!(found, Verdict::Allow(_)), "{deadline} {step:?} {now}: {found:?}");
            }
        }
    }
}

#[test]
fn times_that_cannot_be_hold_nothing_up() {
    for (asked, written) in [("soon", "soon"), ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00Z")] {
        let odd = Move { asked: asked.to_owned(), step: Step::Begun, at: written.to_owned(), why: None };
        assert_eq!(verdict(Some(&odd), 0), Verdict::Ask, "{asked}");
    }
    let of_a_fast_clock = moving(Step::Begun, 0);
    assert!(matches!(verdict(Some(&of_a_fast_clock), -2), Verdict::Wait { .. }));
}

fn limits(per_node: u32, per_cluster: u32) -> Limits {
    Limits { eviction_deadline: DEADLINE, moves_per_node: per_node, moves_per_cluster: per_cluster }
}

fn who<'a>(pod: &'a str, node: &'a str, since: i64) -> Candidate<'a> {
    Candidate { pod, node, since: at(since) }
}

fn under_way<'a>(pod: &'a str, node: &'a str) -> Other<'a> {
    Other { who: who(pod, node, 0), waits: false }
}

fn waits<'a>(pod: &'a str, node: &'a str, since: i64) -> Other<'a> {
    Other { who: who(pod, node, since), waits: true }
}

#[test]
fn as_many_begin_as_a_node_and_the_cluster_may_have() {
    let own = who("n/own", "a", 10);
    let room = |others: &[Other<'_>], per_node, per_cluster| {
        turn(&own, false, others, &limits(per_node, per_cluster)).is_now
    };
    assert!(room(&[], 1, 1));
    assert!(!room(&[under_way("n/1", "a")], 1, 9) && room(&[under_way("n/1", "b")], 1, 9));
    assert!(room(&[under_way("n/1", "a")], 2, 9));
    assert!(!room(&[under_way("n/1", "b"), under_way("n/2", "c")], 2, 2));
    assert!(room(&[under_way("n/own", "a")], 1, 1), "its own move is none of the others");
}

#[test]
fn who_came_before_begins_before() {
    let own = who("n/own", "a", 10);
    let room = |others: &[Other<'_>], per_node, per_cluster| {
        turn(&own, false, others, &limits(per_node, per_cluster)).is_now
    };
    assert!(!room(&[waits("n/1", "a", 5)], 1, 9), "it waits for longer");
    assert!(room(&[waits("n/1", "a", 15)], 1, 9), "it came later");
    assert!(room(&[waits("n/1", "a", 5)], 2, 9), "there is room for both");
    assert!(!room(&[waits("n/1", "b", 5)], 1, 1), "the only place is the other's");
    let many = [under_way("n/0", "b"), waits("n/1", "b", 1), waits("n/2", "b", 2), waits("n/3", "b", 3)];
    assert!(room(&many, 1, 2), "those on a node that is full take no place of the cluster's");
    assert!(!room(&many, 2, 2), "one of them could begin now");
    assert!(!room(&[waits("n/a", "a", 10)], 1, 9) && room(&[waits("n/z", "a", 10)], 1, 9), "one of two");
}

#[test]
fn one_that_the_other_replica_does_not_know_takes_a_place_of_half_of_them() {
    let own = who("n/own", "a", 10);
    let room = |others: &[Other<'_>], per_node, per_cluster| {
        turn(&own, true, others, &limits(per_node, per_cluster)).is_now
    };
    let one = [under_way("n/1", "a")];
    assert!(room(&one, 4, 20) && !room(&one, 2, 20) && room(&[], 1, 1));
    assert!(!room(&[under_way("n/1", "a"), under_way("n/2", "a")], 4, 20));
    assert!(!room(&[under_way("n/1", "b"), under_way("n/2", "b")], 4, 4));
}

#[test]
fn what_begins_makes_no_difference_for_those_behind_it() {
    let own = who("n/own", "a", 10);
    for per_node in 1..5 {
        let waits_still = [waits("n/1", "a", 1), waits("n/2", "a", 2), waits("n/3", "a", 3)];
        let has_begun = [under_way("n/1", "a"), waits("n/2", "a", 2), waits("n/3", "a", 3)];
        let is_now = |others: &[Other<'_>]| turn(&own, false, others, &limits(per_node, 9)).is_now;
        assert_eq!(is_now(&waits_still), is_now(&has_begun), "{per_node}");
    }
}

#[test]
fn the_next_of_a_node_are_known_everywhere() {
    let before = [waits("n/1", "a", 1), waits("n/2", "a", 2)];
    let own = who("n/own", "a", 10);
    assert!(turn(&own, false, &before, &limits(3, 9)).is_near);
    assert!(!turn(&own, false, &before, &limits(2, 9)).is_near);
}

#[test]
fn a_replica_remembers_who_is_wanted_and_what_it_has_begun_for_a_while() {
    let mut ledger = Ledger::default();
    ledger.hears("n/1", at(0));
    assert!(ledger.is_wanted("n/1", None, at(14)) && !ledger.is_wanted("n/1", None, at(15)));
    assert!(ledger.is_wanted("n/2", Some(at(5)), at(19)), "another replica has written it");
    assert!(!ledger.is_wanted("n/2", None, at(0)));
    ledger.begins("n/1", "a", at(0));
    let begun: Vec<_> = ledger.begun(at(9)).map(|(pod, begun)| (pod, &*begun.node)).collect();
    assert_eq!(begun, [("n/1", "a")]);
    assert_eq!(ledger.begun(at(10)).count(), 0);
    ledger.begins("n/1", "a", at(20));
    ledger.forget("n/1");
    assert_eq!(ledger.begun(at(20)).count(), 0);
    (0..1000).for_each(|second| ledger.hears(&second.to_string(), at(second)));
    assert!(format!("{ledger:?}").len() < 4000, "what is over is kept");
}
