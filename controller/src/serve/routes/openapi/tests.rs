//! The description is in step with the routes and the types.

use std::collections::BTreeSet;

use crik_api::report::{
    Checkpointed, LastCheckpoint, LastFailure, LastStart, Move, Occasion, Report, ReportId, Resumed, Skipped,
    Step, ToldProtection, What,
};
use crik_api::workload::{Workload, WorkloadList};
use crik_api::{ErrorBody, ErrorCode, Lagged, NodeList, NodeState, NodeStatus, PodState, PodStatus, Reason};
use serde_yaml::Value;

use super::DESCRIPTION;
use crate::serve::router;
use crate::serve::routes::go_agent::TwoWords;

fn description() -> Value {
    serde_yaml::from_str(DESCRIPTION).unwrap()
}

fn keys(mapping: &Value) -> BTreeSet<String> {
    mapping.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn words(sequence: &Value) -> BTreeSet<String> {
    sequence.as_sequence().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Values of every wire type: one with all fields, and one with as few as there can be.
fn values() -> Vec<(&'static str, Value, Value)> {
    let reason = Reason { signal: "kubelet-shutdown".to_owned(), observed: "condition".to_owned() };
    let least = NodeStatus {
        name: "a".to_owned(),
        state: NodeState::Ready,
        version: "1".to_owned(),
        reasons: Vec::new(),
        hints: Vec::new(),
        stale: false,
    };
    let most = NodeStatus { reasons: vec![reason.clone()], hints: vec![reason.clone()], ..least.clone() };
    let bare_pod = PodStatus {
        namespace: "n".to_owned(),
        name: "a".to_owned(),
        uid: "1".to_owned(),
        state: PodState::Running,
        reasons: Vec::new(),
        deletion_grace_seconds: None,
        deletion_grace_used_seconds: None,
    };
    let full_pod = PodStatus {
        reasons: vec![reason.clone()],
        deletion_grace_seconds: Some(5),
        deletion_grace_used_seconds: Some(2),
        ..bare_pod.clone()
    };
    let checkpointed = Checkpointed {
        generation: 7,
        occasion: Occasion::Move,
        frozen_seconds: 0.2,
        durable_seconds: 1.5,
        bytes: 3,
        stored_bytes: 2,
        new_bytes: 1,
    };
    let skipped = Skipped { generation: 8, why: "another kernel".to_owned() };
    let bare_resumed =
        Resumed { generation: 7, seconds: 1.0, saved_seconds: 60.0, from: None, skipped: Vec::new() };
    let resumed =
        Resumed { from: Some("b".to_owned()), skipped: vec![skipped.clone()], ..bare_resumed.clone() };
    let at = || "2026-11-27T10:00:00.000Z".to_owned();
    let bare_protection = ToldProtection { protected: true, why: None };
    let protection = ToldProtection { protected: false, why: Some("no volume".to_owned()) };
    let last_checkpoint = LastCheckpoint { at: at(), checkpoint: checkpointed.clone() };
    let last_failure = LastFailure { at: at(), occasion: Occasion::Stop, why: "full".to_owned() };
    let bare_start = LastStart { at: at(), resumed: None, why_fresh: None };
    let last_start =
        LastStart { resumed: Some(resumed.clone()), why_fresh: Some("w".to_owned()), ..bare_start.clone() };
    let bare_move = Move { asked: at(), step: Step::Begun, at: at(), why: None };
    let moving = Move { step: Step::Failed, why: Some("full".to_owned()), ..bare_move.clone() };
    let bare_workload = Workload {
        namespace: "n".to_owned(),
        name: "a".to_owned(),
        uid: "1".to_owned(),
        node: None,
        node_state: NodeState::Unknown,
        phase: "Pending".to_owned(),
        ending: false,
        protection: None,
        last_checkpoint: None,
        checkpoint_age_seconds: None,
        last_failure: None,
        last_start: None,
        moving: None,
    };
    let workload = Workload {
        node: Some("a".to_owned()),
        protection: Some(protection.clone()),
        last_checkpoint: Some(last_checkpoint.clone()),
        checkpoint_age_seconds: Some(5.0),
        last_failure: Some(last_failure.clone()),
        last_start: Some(last_start.clone()),
        moving: Some(moving.clone()),
        ..bare_workload.clone()
    };
    let list = NodeList { nodes: vec![most.clone()], next: None };
    let page = NodeList { next: Some("1-1-500".to_owned()), ..list.clone() };
    let words = TwoWords { name: "a".to_owned(), state: NodeState::ShuttingDown.as_str() };
    let problem = ErrorBody::new(ErrorCode::NoRoom, 503, "Service Unavailable", "later".to_owned());
    let value = |value: serde_yaml::Result<Value>| value.unwrap();
    let same = |name, of: serde_yaml::Result<Value>| {
        let of = value(of);
        (name, of.clone(), of)
    };
    vec![
        ("NodeStatus", value(serde_yaml::to_value(&most)), value(serde_yaml::to_value(&least))),
        same("NodeState", serde_yaml::to_value(NodeState::Gone)),
        ("PodStatus", value(serde_yaml::to_value(&full_pod)), value(serde_yaml::to_value(&bare_pod))),
        same("PodState", serde_yaml::to_value(PodState::Disrupted)),
        same("Reason", serde_yaml::to_value(&reason)),
        ("NodeList", value(serde_yaml::to_value(&page)), value(serde_yaml::to_value(&list))),
        ("Report", every_report(&checkpointed, &resumed), least_report()),
        same("ReportId", serde_yaml::to_value(report(What::Stayed).id)),
        same("Occasion", serde_yaml::to_value(Occasion::Notice)),
        same("Skipped", serde_yaml::to_value(&skipped)),
        ("Resumed", value(serde_yaml::to_value(&resumed)), value(serde_yaml::to_value(&bare_resumed))),
        (
            "ToldProtection",
            value(serde_yaml::to_value(&protection)),
            value(serde_yaml::to_value(&bare_protection)),
        ),
        same("LastCheckpoint", serde_yaml::to_value(&last_checkpoint)),
        same("LastFailure", serde_yaml::to_value(&last_failure)),
        ("LastStart", value(serde_yaml::to_value(&last_start)), value(serde_yaml::to_value(&bare_start))),
        same("Step", serde_yaml::to_value(Step::Waiting)),
        ("Move", value(serde_yaml::to_value(&moving)), value(serde_yaml::to_value(&bare_move))),
        ("Workload", value(serde_yaml::to_value(&workload)), value(serde_yaml::to_value(&bare_workload))),
        (
            "WorkloadList",
            value(serde_yaml::to_value(WorkloadList {
                workloads: vec![workload],
                next: Some("n/a".to_owned()),
            })),
            value(serde_yaml::to_value(WorkloadList { workloads: Vec::new(), next: None })),
        ),
        same("Lagged", serde_yaml::to_value(Lagged { missed: 1 })),
        same("TwoWords", serde_yaml::to_value(&words)),
        same("ErrorBody", serde_yaml::to_value(&problem)),
        same("ErrorCode", serde_yaml::to_value(problem.code)),
    ]
}

fn report(what: What) -> Report {
    Report { id: ReportId { began: 1, number: 2 }, seconds_ago: 0.5, node: "a".to_owned(), what }
}

/// What a report has to have.
fn least_report() -> Value {
    let mut least = serde_yaml::to_value(report(What::Stayed)).unwrap();
    least.as_mapping_mut().unwrap().retain(|name, _| *name == "id" || *name == "what");
    least
}

/// The fields of all kinds in one.
fn every_report(checkpointed: &Checkpointed, resumed: &Resumed) -> Value {
    let why = || "w".to_owned();
    let kinds = [
        What::Examined(ToldProtection { protected: false, why: Some(why()) }),
        What::Resumed(resumed.clone()),
        What::StartedFresh { why: Some(why()) },
        What::MoveBegun { asked: why() },
        What::NotCheckpointed { occasion: Occasion::Stop, why: why() },
        What::ToldToStop { why: why() },
        What::Checkpointed(checkpointed.clone()),
    ];
    let mut all = serde_yaml::Mapping::new();
    for kind in kinds {
        all.extend(serde_yaml::to_value(report(kind)).unwrap().as_mapping().unwrap().clone());
    }
    Value::Mapping(all)
}

/// What a schema is after following `$ref`.
fn resolved<'a>(all: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema.get("$ref") else { return schema };
    let path = reference.as_str().unwrap().strip_prefix("#/").unwrap();
    let found = path.split('/').fold(all, |value, key| &value[key]);
    assert!(!found.is_null(), "{path} is not there");
    found
}

/// Whether a value is as its schema says, and has nothing that the schema lacks.
fn conforms(all: &Value, schema: &Value, value: &Value) {
    let schema = resolved(all, schema);
    match schema["type"].as_str().unwrap() {
        "string" => {
            assert!(value.is_string(), "{value:?}");
            let known = ["enum", "x-extensible-enum"].into_iter().filter_map(|key| schema.get(key)).next();
            assert!(known.is_none_or(|words| words.as_sequence().unwrap().contains(value)), "{value:?}");
        }
        "boolean" => assert!(value.is_bool(), "{value:?}"),
        "integer" => assert!(value.is_u64(), "{value:?}"),
        "number" => assert!(value.is_number(), "{value:?}"),
        "array" => value.as_sequence().unwrap().iter().for_each(|item| conforms(all, &schema["items"], item)),
        "object" => {
            assert!(words(&schema["required"]).is_subset(&keys(value)), "{value:?}");
            for (key, value) in value.as_mapping().unwrap() {
                conforms(all, &schema["properties"][key.as_str().unwrap()], value);
            }
        }
        other => panic!("{other} is not looked at here"),
    }
}

#[test]
fn every_route_is_described_and_back() {
    let served: BTreeSet<String> = router::table().into_iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(keys(&description()["paths"]), served);
}

#[test]
fn every_field_of_every_type_is_described_and_back() {
    let all = description();
    let schemas = &all["components"]["schemas"];
    let values = values();
    let names: BTreeSet<String> = values.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(keys(schemas), names);
    for (name, most, least) in &values {
        conforms(&all, &schemas[name], most);
        conforms(&all, &schemas[name], least);
        if most.is_mapping() {
            assert_eq!(keys(&schemas[name]["properties"]), keys(most), "{name}");
            assert_eq!(words(&schemas[name]["required"]), keys(least), "{name}");
        }
    }
}

#[test]
fn every_state_and_every_code_is_described_and_back() {
    let schemas = &description()["components"]["schemas"];
    let described = |name: &str| words(&schemas[name]["x-extensible-enum"]);
    assert_eq!(described("NodeState"), NodeState::ALL.into_iter().map(|state| state.to_string()).collect());
    let asked = &description()["paths"]["/v1/nodes"]["get"]["parameters"];
    let state = asked.as_sequence().unwrap().iter().find(|parameter| parameter["name"] == "state").unwrap();
    assert_eq!(words(&state["schema"]["items"]["enum"]), described("NodeState"));
    assert_eq!(described("PodState"), PodState::ALL.into_iter().map(|state| state.to_string()).collect());
    assert_eq!(described("Occasion"), Occasion::ALL.into_iter().map(|one| one.as_str().to_owned()).collect());
    assert_eq!(described("Step"), Step::ALL.into_iter().map(|one| one.as_str().to_owned()).collect());
    assert_eq!(described("ErrorCode"), ErrorCode::ALL.into_iter().map(|code| code.to_string()).collect());
}

/// The one that a path has.
fn operation(path: &Value) -> &Value {
    ["get", "post"].into_iter().find_map(|method| path.get(method)).unwrap()
}

/// What a generated client calls its functions; without it each generator makes up names of its own.
#[test]
fn every_operation_has_a_name_of_its_own() {
    let all = description();
    let operations = all["paths"].as_mapping().unwrap().values();
    let names: BTreeSet<&str> = operations.map(|of| operation(of)["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), router::table().len());
}

/// A client that is generated from a closed enumeration fails on a state that a later release adds.
#[test]
fn what_may_get_more_words_is_no_closed_enumeration() {
    let schemas = &description()["components"]["schemas"];
    for name in ["NodeState", "PodState", "ErrorCode", "Occasion", "Step"] {
        assert!(schemas[name].get("enum").is_none(), "{name}");
    }
}

#[test]
fn the_description_is_of_this_release() {
    assert_eq!(description()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(all: &Value, value: &Value) {
        if value.get("$ref").is_some() {
            resolved(all, value);
        }
        match value {
            Value::Mapping(mapping) => mapping.values().for_each(|value| walk(all, value)),
            Value::Sequence(sequence) => sequence.iter().for_each(|value| walk(all, value)),
            _ => {}
        }
    }
    let all = description();
    walk(&all, &all);
}

#[test]
fn what_needs_a_token_says_so_and_what_does_not_is_open() {
    let all = description();
    for (path, methods) in all["paths"].as_mapping().unwrap() {
        let operation = operation(methods);
        let of_objects = ["nodes", "pods", "workloads"].iter().any(|of| path.as_str().unwrap().contains(of));
        let guarded = of_objects || path.as_str() == Some("/v1/events");
        let codes = keys(&operation["responses"]);
        assert_eq!(operation.get("security").is_some(), guarded, "{path:?}");
        assert_eq!(codes.contains("401") && codes.contains("403"), guarded, "{path:?}");
    }
}
