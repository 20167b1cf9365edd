//! More signals, from a file: rows of a name, a state and one thing that stands on the Node.
//!
//! ```yaml
//! signals:
//! - name: rack-power
//!   state: shutting-down
//!   taint: {key: example.com/power-off}
//! - name: our-drainer
//!   state: draining
//!   annotation:
//!     key: example.com/wanted
//!     value: {startsWith: drain-, differsFrom: example.com/done}
//! ```

use std::borrow::Cow::{self, Owned};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde_yaml::Value;
use thiserror::Error;

use super::matcher::{By, Matcher, Test, Tests, Text};
use super::signal::{Class, DELETED, SOURCE_LOST, Signal};
use super::table;

/// Why a signals file cannot be used.
#[derive(Debug, Error)]
pub enum SignalsFileError {
    /// It cannot be read.
    #[error("cannot read the signals file {path}: {source}; see --signals-file")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no list of signals.
    #[error("the signals file {path} is no list under the one key `signals`: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why not, with the line.
        source: serde_yaml::Error,
    },
    /// One signal is wrong.
    #[error("the signals file {path} has a mistake in {row}: {problem}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Which one.
        row: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    signals: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    state: State,
    taint: Option<Entry>,
    label: Option<Entry>,
    annotation: Option<Entry>,
    condition: Option<Condition>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    ShuttingDown,
    Draining,
    Cordoned,
    Hint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    value: Option<Operators>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    status: Status,
    reason: Option<Operators>,
    message: Option<Operators>,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum Status {
    #[default]
    True,
    False,
    Unknown,
}

/// Each that is given has to hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Operators {
    equals: Option<String>,
    not_equals: Option<String>,
    r#in: Option<Vec<String>>,
    not_in: Option<Vec<String>>,
    starts_with: Option<String>,
    contains: Option<String>,
    /// The key of an annotation; one that is absent differs from everything.
    differs_from: Option<String>,
}

/// The signals in the file at `path`.
///
/// # Errors
/// It cannot be read, or which row is wrong and what to do about it.
pub fn read(path: &Path) -> Result<Vec<Signal>, SignalsFileError> {
    let text =
        fs::read_to_string(path).map_err(|source| SignalsFileError::Read { path: path.into(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Signal>, SignalsFileError> {
    let file: File =
        serde_yaml::from_str(text).map_err(|source| SignalsFileError::Parse { path: path.into(), source })?;
    let mut names: BTreeSet<Text> = table::TABLE.iter().map(|signal| signal.name.clone()).collect();
    names.extend([DELETED, SOURCE_LOST].map(Cow::Borrowed));
    let rows = file.signals.into_iter().enumerate().map(|(number, row)| {
        let called = row.get("name").and_then(Value::as_str).map(|name| format!(" ({name})"));
        let signal = signal(row).and_then(|signal| {
            let new = names.insert(signal.name.clone());
            if new { Ok(signal) } else { Err(format!("the name {:?} is taken; choose another", signal.name)) }
        });
        signal.map_err(|problem| {
            let row = format!("row {}{}", number + 1, called.unwrap_or_default());
            SignalsFileError::Row { path: path.into(), row, problem }
        })
    });
    rows.collect()
}

fn signal(row: Value) -> Result<Signal, String> {
    let row: Row = serde_yaml::from_value(row)
        .map_err(|error| format!("{error}; texts such as true or 1 have to be in quotes"))?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if row.name.is_empty() || !row.name.chars().all(allowed) {
        return Err(format!("the name {:?} has to be of a-z, 0-9 and '-'", row.name));
    }
    let class = match row.state {
        State::ShuttingDown => Class::ShuttingDown,
        State::Draining => Class::Draining,
        State::Cordoned => Class::Cordoned,
        State::Hint => Class::Candidate,
    };
    let matcher = match (row.taint, row.label, row.annotation, row.condition) {
        (Some(Entry { key, value }), None, None, None) => {
            Matcher::Taint { key: checked_key(key)?, value: tests(value, "value")?, effect: None }
        }
        (None, Some(Entry { key, value }), None, None) => {
            Matcher::Label { key: checked_key(key)?, value: tests(value, "value")? }
        }
        (None, None, Some(Entry { key, value }), None) => {
            Matcher::Annotation { key: checked_key(key)?, value: tests(value, "value")? }
        }
        (None, None, None, Some(condition)) => condition_matcher(condition)?,
        _ => return Err("give exactly one of taint, label, annotation and condition".to_owned()),
    };
    Ok(Signal { name: Owned(row.name), class, matcher })
}

fn condition_matcher(condition: Condition) -> Result<Matcher, String> {
    let status = match condition.status {
        Status::True => "True",
        Status::False => "False",
        Status::Unknown => "Unknown",
    };
    Ok(Matcher::Condition {
        kind: checked_key(condition.kind)?,
        status: Cow::Borrowed(status),
        reason: tests(condition.reason, "reason")?,
        message: tests(condition.message, "message")?,
    })
}

/// Keys are an optional DNS name, a slash and a name; one that cannot be would never match, and nobody would notice.
fn checked_key(key: String) -> Result<Text, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let part = |part: &str| !part.is_empty() && part.chars().all(allowed);
    if key.split('/').count() <= 2 && key.split('/').all(part) {
        return Ok(Owned(key));
    }
    Err(format!("{key:?} cannot stand on a Node; write it as kubectl shows it, without a value or effect"))
}

fn tests(operators: Option<Operators>, field: &str) -> Result<Tests, String> {
    let Some(given) = operators else { return Ok(Cow::Borrowed(&[])) };
    let one = |text: Option<String>| text.map(|text| vec![text]);
    let rows = [
        ("equals", one(given.equals), By::Equality, false),
        ("notEquals", one(given.not_equals), By::Equality, true),
        ("in", given.r#in, By::Equality, false),
        ("notIn", given.not_in, By::Equality, true),
        ("startsWith", one(given.starts_with), By::Start, false),
        ("contains", one(given.contains), By::Content, false),
        ("differsFrom", one(given.differs_from), By::Annotation, true),
    ];
    let mut tests = Vec::new();
    for (operator, any, by, negated) in rows {
        let Some(any) = any else { continue };
        if any.is_empty() || (by != By::Equality && any.iter().any(String::is_empty)) {
            return Err(format!("{field}.{operator} is empty, so it says nothing; fill it or remove it"));
        }
        let any = if by == By::Annotation {
            any.into_iter().map(checked_key).collect::<Result<Vec<_>, _>>()?
        } else {
            any.into_iter().map(Owned).collect()
        };
        tests.push(Test { by, any: Owned(any), negated });
    }
    if tests.is_empty() {
        return Err(format!("{field} has no operator; remove it if any {field} will do"));
    }
    Ok(Owned(tests))
}

#[cfg(test)]
mod tests {
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
        let words = ["shutting-down", "draining", "cordoned", "hint"];
        let classes = [Class::ShuttingDown, Class::Draining, Class::Cordoned, Class::Candidate];
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
            ("{name: x, state: hint, taint: {key: k, effect: E}}", "unknown field `effect`"),
            ("{name: x, state: hint}", "exactly one of taint, label, annotation and condition"),
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
}
