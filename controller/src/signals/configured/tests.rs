use serde_json::json;

use super::*;
use crate::signals::{Node, Object, Signals};

fn parsed(text: &str) -> Result<Vec<Signal>, String> {
    parse(Path::new("signals.yaml"), text).map_err(|error| error.to_string())
}

fn node(yaml: &str) -> Node {
    serde_yaml::from_str::<Object>(yaml).unwrap().into()
}

/// The rows, without the built-in ones, that this Node shows.
fn shown(rows: &str, yaml: &str) -> Vec<String> {
    let signals = Signals(Vec::new()).with(parsed(rows).unwrap());
    signals.observe(&node(yaml)).signals().map(str::to_owned).collect()
}

/// The message about one row that is wrong.
fn mistake(row: &str) -> String {
    let message = parsed(&format!("signals:\n- {row}")).unwrap_err();
    assert!(message.contains("signals.yaml has a mistake in row 1"), "{message}");
    message
}

#[test]
fn each_kind_of_thing_is_found() {
    let rows = "signals:
- {name: t, state: shutting-down, taint: {key: a/b, value: {equals: '1'}}}
- {name: l, state: draining, label: {key: a/b, value: {in: ['1', '2']}}}
- {name: a, state: cordoned, annotation: {key: a/b, value: {startsWith: x-, differsFrom: a/done}}}
- {name: c, state: hint, condition: {type: C, reason: {notEquals: R}, message: {contains: go}}}
- {name: e, state: hint, label: {key: only}}
- {name: n, state: hint, label: {key: only, value: {notIn: [p, q]}}}
- {name: u, state: hint, condition: {type: C, status: Unknown}}";
    assert_eq!(shown(rows, "spec: {taints: [{key: a/b, value: '1', effect: NoSchedule}]}"), ["t"]);
    assert_eq!(shown(rows, "metadata: {labels: {a/b: '2', only: p}}"), ["l", "e"]);
    assert_eq!(shown(rows, "metadata: {labels: {a/b: '3', only: r}}"), ["e", "n"]);
    assert_eq!(shown(rows, "metadata: {annotations: {a/b: x-1, a/done: x-0}}"), ["a"]);
    assert_eq!(shown(rows, "metadata: {annotations: {a/b: x-1}}"), ["a"]);
    assert!(shown(rows, "metadata: {annotations: {a/b: x-1, a/done: x-1}}").is_empty());
    let condition = |reason, status| {
        let all = format!("{{type: C, status: '{status}', reason: {reason}, message: will go now}}");
        shown(rows, &format!("status: {{conditions: [{all}]}}"))
    };
    assert_eq!(condition("S", "True"), ["c"]);
    assert!(condition("R", "True").is_empty() && condition("S", "False").is_empty());
    assert_eq!(condition("R", "Unknown"), ["u"]);
}

#[test]
fn each_state_can_be_said() {
    let words =
        ["shutting-down", "draining", "cordoned", "evicting", "hint", "trace", "unreachable", "silent"];
    let classes = [
        Class::ShuttingDown,
        Class::Draining,
        Class::Cordoned,
        Class::Evicting,
        Class::Candidate,
        Class::TooLate,
        Class::Unreachable,
        Class::Silent,
    ];
    for (word, class) in words.into_iter().zip(classes) {
        let rows = parsed(&format!("signals: [{{name: x, state: {word}, taint: {{key: k}}}}]")).unwrap();
        assert_eq!(rows[0].class, class);
    }
}

#[test]
fn a_file_without_rows_is_good_and_one_that_is_no_list_is_told_with_its_line() {
    assert!(parsed("signals: []").unwrap().is_empty());
    for wrong in ["", "rows: []", "signals: {}", "signals: []\nmore: 1", "signals: ["] {
        let message = parsed(wrong).unwrap_err();
        assert!(message.contains("under the one key `signals`"), "{wrong}: {message}");
    }
    assert!(parsed("signals: []\nmore: 1").unwrap_err().contains("line 2"));
    let absent = read(Path::new("/no/such/file")).unwrap_err().to_string();
    assert!(absent.contains("/no/such/file") && absent.contains("--signals-file"), "{absent}");
}

#[test]
fn each_mistake_is_named_with_its_row() {
    let cases = [
        ("{state: hint, taint: {key: k}}", "missing field `name`"),
        ("{name: x, taint: {key: k}}", "missing field `state`"),
        ("{name: 'x y', state: hint, taint: {key: k}}", "\"x y\" has to be of a-z"),
        ("{name: '', state: hint, taint: {key: k}}", "\"\" has to be of a-z"),
        ("{name: x, state: gone, taint: {key: k}}", "unknown variant `gone`, expected one of"),
        ("{name: x, state: hint, taints: {key: k}}", "unknown field `taints`, expected one of"),
        ("{name: x, state: hint, taint: {kye: k}}", "unknown field `kye`"),
        ("{name: x, state: hint, taint: {key: k, effect: E}}", "unknown variant `E`"),
        ("{name: x, state: hint, taint: {effect: NoSchedule}}", "taint has no key"),
        ("{name: x, state: hint, taint: {effect: NoExecute, value: {equals: v}}}", "taint has no key"),
        ("{name: x, state: hint, deleting: {}}", "missing field `finalizer`"),
        ("{name: x, state: hint, deleting: {finalizer: a b}}", "\"a b\" cannot stand"),
        ("{name: x, state: hint, unschedulable: false}", "can only be true"),
        ("{name: x, state: hint, unschedulable: true, deleting: {finalizer: f}}", "exactly one of taint"),
        ("{name: x, state: hint, label: {key: k, value: {containsAny: []}}}", "value.containsAny is empty"),
        ("{name: x, state: hint, label: {key: k, value: {containsNone: ['']}}}", "value.containsNone is"),
        (
            "{name: x, state: hint}",
            "exactly one of taint, label, annotation, condition, deleting and unschedulable",
        ),
        ("{name: x, state: hint, taint: {key: k}, label: {key: k}}", "exactly one of taint"),
        ("{name: x, state: hint, taint: {key: ''}}", "\"\" cannot stand on a Node"),
        ("{name: x, state: hint, taint: {key: 'k=v:NoSchedule'}}", "without a value or effect"),
        ("{name: x, state: hint, label: {key: a/b/c}}", "\"a/b/c\" cannot stand on a Node"),
        ("{name: x, state: hint, taint: {key: k, value: {}}}", "value has no operator"),
        ("{name: x, state: hint, taint: {key: k, value: {equal: v}}}", "unknown field `equal`"),
        ("{name: x, state: hint, taint: {key: k, value: v}}", "invalid type: string"),
        ("{name: x, state: hint, taint: {key: k, value: {equals: true}}}", "have to be in quotes"),
        ("{name: x, state: hint, taint: {key: k, value: {in: []}}}", "value.in is empty"),
        ("{name: x, state: hint, label: {key: k, value: {contains: ''}}}", "value.contains is empty"),
        ("{name: x, state: hint, label: {key: k, value: {startsWith: ''}}}", "value.startsWith is empty"),
        ("{name: x, state: hint, label: {key: k, value: {differsFrom: a b}}}", "\"a b\" cannot stand"),
        ("{name: x, state: hint, condition: {status: 'True'}}", "missing field `type`"),
        ("{name: x, state: hint, condition: {type: C, status: Yes}}", "unknown variant `Yes`"),
        ("{name: x, state: hint, condition: {type: C, message: {}}}", "message has no operator"),
        ("just text", "invalid type: string"),
    ];
    for (row, expected) in cases {
        let message = mistake(row);
        assert!(message.contains(expected), "{row}: {message}");
        if row.contains("name: x,") {
            assert!(message.contains("row 1 (x)"), "{message}");
        }
    }
}

#[test]
fn a_name_is_given_once() {
    for name in ["cordon", "kubelet-shutdown", "deleted", "source-lost"] {
        let message = mistake(&format!("{{name: {name}, state: hint, taint: {{key: k}}}}"));
        assert!(message.contains("is taken; choose another"), "{message}");
    }
    let row = "- {name: x, state: hint, taint: {key: k}}\n";
    let twice = parsed(&format!("signals:\n{row}{row}")).unwrap_err();
    assert!(twice.contains("row 2 (x)") && twice.contains("\"x\" is taken"), "{twice}");
}
/// A row of the table as a user would write it, under a name of its own.
pub fn written(signal: &Signal) -> serde_json::Value {
    without_null(&row(signal))
}

/// What is not given is left out.
fn without_null(of: &serde_json::Value) -> serde_json::Value {
    let Some(map) = of.as_object() else { return of.clone() };
    let given = map.iter().filter(|(_, value)| !value.is_null());
    given.map(|(key, value)| (key.clone(), without_null(value))).collect()
}

fn row(signal: &Signal) -> serde_json::Value {
    let entry = |key: &Text, value: &Tests| json!({"key": key, "value": operators(value)});
    let (word, thing) = match &signal.matcher {
        Matcher::Unschedulable => ("unschedulable", json!(true)),
        Matcher::Deleting { finalizer } => ("deleting", json!({"finalizer": finalizer})),
        Matcher::Taint { key, value, effect } => {
            ("taint", json!({"key": key, "value": operators(value), "effect": effect}))
        }
        Matcher::NoExecute => ("taint", json!({"effect": "NoExecute"})),
        Matcher::Label { key, value } => ("label", entry(key, value)),
        Matcher::Annotation { key, value } => ("annotation", entry(key, value)),
        Matcher::Condition { kind, status, reason, message } => {
            let (reason, message) = (operators(reason), operators(message));
            ("condition", json!({"type": kind, "status": status, "reason": reason, "message": message}))
        }
    };
    let state = match signal.class {
        Class::ShuttingDown => "shutting-down",
        Class::Draining => "draining",
        Class::Cordoned => "cordoned",
        Class::Evicting => "evicting",
        Class::Unreachable => "unreachable",
        Class::Candidate => "hint",
        Class::TooLate => "trace",
        Class::Silent => "silent",
    };
    json!({"name": format!("own-{}", signal.name), "state": state, word: thing})
}

fn operators(tests: &Tests) -> Option<serde_json::Value> {
    let one = |test: &Test| {
        let operator = match (test.by, test.negated) {
            (By::Equality, false) => "in",
            (By::Equality, true) => "notIn",
            (By::Start, false) => "startsWith",
            (By::Start, true) => "notStartsWith",
            (By::Content, false) => "containsAny",
            (By::Content, true) => "containsNone",
            (By::Annotation, true) => "differsFrom",
            (By::Annotation, false) => panic!("no row needs it"),
        };
        let is_list = matches!(test.by, By::Equality | By::Content);
        let value = if is_list { json!(test.any) } else { json!(test.any[0]) };
        (operator.to_owned(), value)
    };
    let all: serde_json::Map<_, _> = tests.iter().map(one).collect();
    assert_eq!(all.len(), tests.len(), "an operator can be given once");
    (!all.is_empty()).then_some(all.into())
}

#[test]
fn every_built_in_row_can_be_written_in_a_signals_file() {
    let rows: Vec<_> = table::TABLE.iter().map(written).collect();
    let text = serde_yaml::to_string(&json!({"signals": rows})).unwrap();
    let own = Signals(parsed(&text).unwrap());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nodes");
    let mut shown = BTreeSet::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let node = node(&fs::read_to_string(&path).unwrap());
        let (built_in, own) = (Signals::built_in().observe(&node), own.observe(&node));
        assert_eq!(built_in.signals.len(), own.signals.len(), "{}", path.display());
        for ((class, reason), (same, own)) in built_in.signals.iter().zip(&own.signals) {
            assert_eq!((format!("own-{}", reason.signal), class), (own.signal.clone(), same));
            assert_eq!(reason.observed, own.observed);
            shown.insert(reason.signal.clone());
        }
    }
    assert_eq!(shown.len(), table::TABLE.len(), "a row that no Node shows is compared with nothing");
}
