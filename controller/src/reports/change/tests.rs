use crik_api::report::{Checkpointed, Resumed, Skipped, ToldProtection};
use serde_json::Value;

use super::*;

const ASKED: &str = "2026-11-27T10:00:00.000Z";

fn now() -> Timestamp {
    "2026-11-27T10:00:10Z".parse().unwrap()
}

/// What comes of this for a pod, half a second after it happened.
fn after(pod: &Workload, what: What) -> Change {
    let id = ReportId { began: 1, number: 2 };
    change(pod, &Report { id, seconds_ago: 0.5, node: "a".to_owned(), what }, now())
}

/// What an annotation is to say; null if it is to be taken away or is not touched.
fn written(change: &Change, name: &str) -> Value {
    let text = change.annotations.iter().find(|(one, _)| *one == name).and_then(|(_, text)| text.as_deref());
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn reason(change: &Change) -> Option<(&'static str, bool)> {
    change.event.as_ref().map(|said| (said.reason, said.is_warning))
}

fn told(protected: bool) -> ToldProtection {
    ToldProtection { protected, why: (!protected).then(|| "no volume".to_owned()) }
}

fn checkpointed(occasion: Occasion) -> What {
    What::Checkpointed(Checkpointed {
        generation: 7,
        occasion,
        frozen_seconds: 0.2,
        durable_seconds: 1.5,
        bytes: 3 << 20,
        stored_bytes: 2 << 20,
        new_bytes: 1 << 20,
    })
}

fn failed(occasion: Occasion) -> What {
    What::NotCheckpointed { occasion, why: "the volume is full".to_owned() }
}

fn moving(step: Step) -> Workload {
    let moving = Move { asked: ASKED.to_owned(), step, at: ASKED.to_owned(), why: None };
    Workload { moving: Some(moving), ..Workload::default() }
}

#[test]
fn each_report_says_which_it_is_and_when_it_happened() {
    let change = after(&Workload::default(), checkpointed(Occasion::Stop));
    assert_eq!(written(&change, LAST_REPORT), serde_json::json!({"began": 1, "number": 2}));
    let last = written(&change, LAST_CHECKPOINT);
    assert_eq!((&last["at"], &last["generation"]), (&"2026-11-27T10:00:09.500Z".into(), &7.into()));
    assert_eq!(change.at, "2026-11-27T10:00:09.5Z".parse().unwrap());
}

#[test]
fn a_report_is_a_repeat_unless_it_is_greater_than_the_last() {
    let id = |began, number| ReportId { began, number };
    let year = 1_795_000_000_000;
    for (one, last, expected) in [
        (id(year, 2), None, false),
        (id(year, 2), Some(id(year, 1)), false),
        (id(year, 2), Some(id(year, 2)), true),
        (id(year, 1), Some(id(year, 2)), true),
        (id(year + 1, 1), Some(id(year, 9)), false),
        (id(year - 1, 9), Some(id(year, 1)), true),
        // The clock of the machine was wrong before.
        (id(year, 1), Some(id(u64::MAX, 1)), false),
        (id(u64::MAX, 1), Some(id(u64::MAX, 1)), true),
    ] {
        assert_eq!(is_repeat(one, last, now()), expected, "{one:?} after {last:?}");
    }
}

#[test]
fn protection_is_news_when_it_is_lost_and_when_it_is_back() {
    let pod = |protected: Option<bool>| Workload { protection: protected.map(told), ..Workload::default() };
    for (before, says, expected) in [
        (None, true, None),
        (None, false, Some(("NotProtected", true))),
        (Some(true), false, Some(("NotProtected", true))),
        (Some(false), false, None),
        (Some(false), true, Some(("Protected", false))),
        (Some(true), true, None),
    ] {
        let change = after(&pod(before), What::Examined(told(says)));
        assert_eq!(reason(&change), expected, "{before:?} {says}");
        assert_eq!(written(&change, PROTECTION)["protected"], says);
    }
}

#[test]
fn a_start_stands_on_the_pod_and_is_a_warning_only_if_something_was_lost() {
    let skipped = vec![Skipped { generation: 8, why: "another kernel".to_owned() }];
    let resumed =
        Resumed { generation: 7, seconds: 1.0, saved_seconds: 3700.0, from: Some("b".to_owned()), skipped };
    let change = after(&Workload::default(), What::Resumed(resumed));
    assert_eq!(written(&change, LAST_START)["resumed"]["generation"], 7);
    assert_eq!(reason(&change), Some(("Resumed", false)));
    let said = change.event.unwrap().message;
    for part in ["checkpoint 7", "node b", "1h 1m 40s", "checkpoint 8 was passed over: another kernel"] {
        assert!(said.contains(part), "{said}");
    }
    for (why, warns) in [(None, false), (Some("all were damaged".to_owned()), true)] {
        let change = after(&Workload::default(), What::StartedFresh { why });
        assert_eq!(reason(&change), Some(("StartedFresh", warns)));
        assert!(written(&change, LAST_START)["resumed"].is_null());
        assert_eq!(written(&change, LAST_START)["whyFresh"].is_string(), warns);
    }
}

#[test]
fn no_event_tells_of_what_repeats_itself_but_of_its_first_failure() {
    let failing = LastFailure { at: ASKED.to_owned(), occasion: Occasion::Interval, why: "full".to_owned() };
    let (well, failing) =
        (Workload::default(), Workload { last_failure: Some(Box::new(failing)), ..Workload::default() });
    assert_eq!(reason(&after(&well, checkpointed(Occasion::Interval))), None);
    assert_eq!(reason(&after(&well, checkpointed(Occasion::Notice))), Some(("Checkpointed", false)));
    let first = after(&well, failed(Occasion::Interval));
    assert_eq!(reason(&first), Some(("NotCheckpointed", true)));
    assert_eq!(written(&first, LAST_FAILURE)["why"], "the volume is full");
    assert_eq!(reason(&after(&failing, failed(Occasion::Interval))), None);
    assert_eq!(reason(&after(&failing, failed(Occasion::Stop))), Some(("NotCheckpointed", true)));
    let mended = after(&failing, checkpointed(Occasion::Interval));
    assert!(mended.annotations.contains(&(LAST_FAILURE, None)));
}

#[test]
fn a_move_goes_on_by_its_own_reports_alone() {
    let begun = |asked: &str| What::MoveBegun { asked: asked.to_owned() };
    for (before, what, expected) in [
        (Step::Asked, begun(ASKED), Some("begun")),
        (Step::Waiting, begun(ASKED), Some("begun")),
        (Step::Asked, begun("another"), None),
        (Step::Stayed, begun(ASKED), None),
        (Step::Begun, checkpointed(Occasion::Move), Some("durable")),
        (Step::Asked, checkpointed(Occasion::Move), Some("durable")),
        (Step::Begun, checkpointed(Occasion::Interval), None),
        (Step::Begun, failed(Occasion::Move), Some("failed")),
        (Step::Begun, failed(Occasion::Stop), None),
        (Step::Durable, What::Stayed, Some("stayed")),
        (Step::Asked, What::Stayed, None),
    ] {
        let change = after(&moving(before), what.clone());
        let found = written(&change, MOVE);
        assert_eq!(found["step"].as_str(), expected, "{before:?} {what:?}");
        assert!(expected.is_none() || found["asked"] == ASKED, "it is another move");
    }
    assert!(written(&after(&Workload::default(), checkpointed(Occasion::Move)), MOVE).is_null());
    assert_eq!(
        written(&after(&moving(Step::Begun), failed(Occasion::Move)), MOVE)["why"],
        "the volume is full"
    );
}

#[test]
fn a_checkpoint_of_an_earlier_move_does_not_end_the_one_that_was_asked_for_since() {
    let asked_at = |asked: &str| {
        let moving = Move { asked: asked.to_owned(), step: Step::Begun, at: asked.to_owned(), why: None };
        Workload { moving: Some(moving), ..Workload::default() }
    };
    // It was durable at 10:00:09.5.
    for (asked, expected) in [
        ("2026-11-27T10:00:09Z", Some("durable")),
        ("2026-11-27T10:00:10Z", Some("durable")),
        ("2026-11-27T10:00:11Z", None),
    ] {
        let found = written(&after(&asked_at(asked), checkpointed(Occasion::Move)), MOVE);
        assert_eq!(found["step"].as_str(), expected, "{asked}");
    }
}

#[test]
fn a_container_that_was_started_anew_is_asked_anew() {
    for (step, began, is_taken_away) in [
        (Step::Asked, 0, true),
        (Step::Begun, 0, true),
        (Step::Begun, 1, false),
        (Step::Waiting, 0, false),
        (Step::Durable, 0, false),
    ] {
        let last_report = Some(ReportId { began, number: 1 });
        let change = after(&Workload { last_report, ..moving(step) }, What::Examined(told(true)));
        assert_eq!(change.annotations.contains(&(MOVE, None)), is_taken_away, "{step:?} {began}");
    }
    let last_report = Some(ReportId { began: 0, number: 1 });
    let begun = What::MoveBegun { asked: ASKED.to_owned() };
    let change = after(&Workload { last_report, ..moving(Step::Asked) }, begun);
    assert_eq!(written(&change, MOVE)["step"], "begun", "it has heard of the move itself");
}

#[test]
fn the_condition_is_for_pods_that_name_it_and_false_until_the_next_program_runs() {
    let fresh = || What::StartedFresh { why: None };
    assert_eq!(after(&Workload::default(), fresh()).restored, None);
    let last = |began| Some(ReportId { began, number: 1 });
    for (is_restored, last_report, what, expected) in [
        (None, last(1), fresh(), Some((true, "StartedFresh", true))),
        (Some(true), last(1), fresh(), Some((true, "StartedFresh", false))),
        (Some(false), last(1), fresh(), Some((true, "StartedFresh", true))),
        (Some(true), last(0), What::Examined(told(true)), Some((false, "Starting", true))),
        (None, None, What::Examined(told(true)), Some((false, "Starting", true))),
        (Some(true), last(1), What::Examined(told(true)), None),
        (Some(true), last(1), What::Stayed, None),
    ] {
        let pod = Workload { has_gate: true, is_restored, last_report, ..Workload::default() };
        let found = after(&pod, what.clone()).restored.map(|one| (one.is_so, one.reason, one.turns));
        assert_eq!(found, expected, "{is_restored:?} {last_report:?} {what:?}");
    }
}

#[test]
fn a_word_of_a_later_release_changes_nothing_but_which_was_the_last() {
    let change = after(&moving(Step::Begun), What::Unknown);
    assert_eq!(change.annotations.len(), 1);
    assert_eq!((written(&change, LAST_REPORT)["number"].clone(), change.event), (2.into(), None));
}
