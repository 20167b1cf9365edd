use crik_api::report::{self, Step};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::*;
use crate::base::limits;

fn object(name: &str, annotations: &Value) -> WatchedPod {
    let object = json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": "u", "resourceVersion": "7", "annotations": annotations,
            "labels": {"crik.dev/inject": "true"}, "managedFields": [{"manager": "x"}],
        },
        "spec": {"nodeName": "a", "containers": [{"name": "app"}], "readinessGates": [{"conditionType": report::RESTORED}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    });
    serde_json::from_value(object).unwrap()
}

fn asked(step: &str) -> Value {
    let text = json!({"asked": "2026-11-27T10:00:00.000Z", "step": step, "at": "2026-11-27T10:00:00Z"});
    json!({ report::MOVE: text.to_string() })
}

#[test]
fn what_is_needed_of_a_pod_is_read_and_nothing_else() {
    let mut annotations = asked("begun");
    annotations[report::PROTECTION] = r#"{"protected":true}"#.into();
    annotations[report::LAST_REPORT] = r#"{"began":5,"number":2}"#.into();
    annotations[report::LAST_START] = r#"{"at":"t","whyFresh":"none"}"#.into();
    annotations[report::LAST_CHECKPOINT] =
        r#"{"at":"t","generation":3,"occasion":"move","frozenSeconds":1,"durableSeconds":2,
        "bytes":1,"storedBytes":1,"newBytes":1}"#
            .into();
    annotations[report::EVICTION_DEADLINE] = "10m".into();
    let one = object("job-0", &annotations).workload;
    assert_eq!((one.namespace(), one.name(), &*one.node, &*one.uid), ("ns", "job-0", "a", "u"));
    assert_eq!((one.phase, one.is_ending, one.has_gate), (Phase::Running, false, true));
    assert_eq!(one.moving.map(|of| of.step), Some(Step::Begun));
    assert_eq!(one.labels.len(), 1, "for the budgets that select it");
    assert!(object("job-0", &json!({})).workload.labels.is_empty(), "of no use without a move");
    assert!(one.protection.is_some_and(|told| told.protected));
    assert!(one.last_report.is_some() && one.last_start.is_some());
    assert_eq!(one.last_checkpoint.map(|last| last.checkpoint.generation), Some(3));
    assert_eq!(one.eviction_deadline, Some(std::time::Duration::from_secs(600)));
}

#[test]
fn annotations_that_cannot_be_read_count_as_not_there() {
    let huge = format!(r#"{{"protected":true,"why":"{}"}}"#, "x".repeat(100_000));
    let annotations = json!({
        report::MOVE: "{", report::PROTECTION: huge, report::LAST_REPORT: "3", report::EVICTION_DEADLINE: "soon",
    });
    let one = object("job-0", &annotations).workload;
    assert!(one.moving.is_none() && one.protection.is_none() && one.last_report.is_none());
    assert!(one.eviction_deadline.is_none());
}

#[test]
fn texts_and_lists_that_somebody_has_made_long_are_kept_short() {
    let skipped = vec![json!({"generation": 1, "why": "another kernel"}); 100];
    let resumed = json!({"generation": 2, "seconds": 1, "skipped": skipped});
    let annotations = json!({
        report::PROTECTION: json!({"protected": true, "why": "x".repeat(10_000)}).to_string(),
        report::LAST_START: json!({"at": "t", "resumed": resumed}).to_string(),
    });
    let one = object("job-0", &annotations).workload;
    let why = one.protection.and_then(|told| told.why).unwrap();
    assert_eq!(why.chars().count(), limits::WHY_MAX + 1, "with three dots");
    let resumed = one.last_start.and_then(|start| start.resumed).unwrap();
    assert_eq!((resumed.skipped.len(), resumed.seconds), (limits::SKIPPED_TOLD, 1.0));
}

#[test]
fn a_deadline_is_no_longer_and_no_shorter_than_may_be() {
    for (said, expected) in [
        ("9000h", limits::EVICTION_DEADLINE_MAX),
        ("5s", std::time::Duration::from_secs(5)),
        ("0s", limits::EVICTION_DEADLINE_MIN),
    ] {
        let one = object("job-0", &json!({ report::EVICTION_DEADLINE: said })).workload;
        assert_eq!(one.eviction_deadline, Some(expected), "{said}");
    }
}

#[test]
fn a_list_tells_which_pods_are_gone_and_a_change_which_have_a_move() {
    let all = Workloads::default();
    assert!(!all.is_complete());
    all.replace(vec![object("a", &json!({})), object("b", &asked("asked"))]);
    assert!(all.is_complete());
    assert_eq!(all.all().len(), 2);
    assert_eq!(all.moved().iter().map(|one| one.name().to_owned()).collect::<Vec<_>>(), ["b"]);
    all.apply(object("b", &json!({})));
    all.apply(object("a", &asked("waiting")));
    assert_eq!(all.moved().iter().map(|one| one.name().to_owned()).collect::<Vec<_>>(), ["a"]);
    all.remove(&object("a", &json!({})));
    assert!(all.moved().is_empty() && all.get("ns/a").is_none() && all.get("ns/b").is_some());
    all.replace(vec![object("c", &json!({}))]);
    assert!(all.get("ns/b").is_none() && all.get("ns/c").is_some());
}

#[test]
fn who_listens_to_a_pod_is_woken_for_it_alone_and_leaves_no_bell_behind() {
    let all = Arc::new(Workloads::default());
    let (mut one, mut other) = (all.listen("ns/a"), all.listen("ns/b"));
    all.apply(object("a", &asked("asked")));
    assert!(one.told().now_or_never().is_some() && one.told().now_or_never().is_none());
    assert!(other.told().now_or_never().is_none());
    assert_eq!(one.workload().and_then(|one| one.moving.as_ref().map(|of| of.step)), Some(Step::Asked));
    all.replace(Vec::new());
    assert!(one.told().now_or_never().is_some() && other.told().now_or_never().is_some());
    let again = all.listen("ns/a");
    drop((one, other));
    assert_eq!(all.bells().count(), 1);
    drop(again);
    assert_eq!(all.bells().count(), 0);
}
