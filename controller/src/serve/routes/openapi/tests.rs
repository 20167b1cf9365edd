//! The description is in step with the routes and the types.

use std::collections::BTreeSet;

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
        same("Lagged", serde_yaml::to_value(Lagged { missed: 1 })),
        same("TwoWords", serde_yaml::to_value(&words)),
        same("ErrorBody", serde_yaml::to_value(&problem)),
        same("ErrorCode", serde_yaml::to_value(problem.code)),
    ]
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
    assert_eq!(described("ErrorCode"), ErrorCode::ALL.into_iter().map(|code| code.to_string()).collect());
}

/// What a generated client calls its functions; without it each generator makes up names of its own.
#[test]
fn every_operation_has_a_name_of_its_own() {
    let all = description();
    let operations = all["paths"].as_mapping().unwrap().values();
    let names: BTreeSet<&str> = operations.map(|of| of["get"]["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), router::table().len());
}

/// A client that is generated from a closed enumeration fails on a state that a later release adds.
#[test]
fn what_may_get_more_words_is_no_closed_enumeration() {
    let schemas = &description()["components"]["schemas"];
    for name in ["NodeState", "PodState", "ErrorCode"] {
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
        let operation = &methods["get"];
        let of_objects = ["nodes", "pods"].iter().any(|of| path.as_str().unwrap().contains(of));
        let guarded = of_objects || path.as_str() == Some("/v1/events");
        let codes = keys(&operation["responses"]);
        assert_eq!(operation.get("security").is_some(), guarded, "{path:?}");
        assert_eq!(codes.contains("401") && codes.contains("403"), guarded, "{path:?}");
    }
}
