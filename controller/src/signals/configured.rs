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

mod file;
#[cfg(test)]
mod schema;

use std::borrow::Cow::{self, Owned};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_yaml::Value;
use thiserror::Error;

use self::file::{Condition, Effect, Entry, File, Operators, Row, State, Status, Taint};
use super::matcher::{By, Matcher, NO_EXECUTE, Test, Tests, Text};
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
    Ok(Signal { name: Owned(row.name.clone()), class: class(row.state), matcher: matcher(row)? })
}

fn class(state: State) -> Class {
    match state {
        State::ShuttingDown => Class::ShuttingDown,
        State::Draining => Class::Draining,
        State::Cordoned => Class::Cordoned,
        State::Evicting => Class::Evicting,
        State::Hint => Class::Candidate,
        State::Trace => Class::TooLate,
        State::Unreachable => Class::Unreachable,
        State::Silent => Class::Silent,
    }
}

fn matcher(row: Row) -> Result<Matcher, String> {
    let entry = |entry: Entry| Ok::<_, String>((checked_key(entry.key)?, tests(entry.value, "value")?));
    let given = [
        row.taint.map(taint_matcher),
        row.label.map(|label| entry(label).map(|(key, value)| Matcher::Label { key, value })),
        row.annotation.map(|found| entry(found).map(|(key, value)| Matcher::Annotation { key, value })),
        row.condition.map(condition_matcher),
        row.deleting.map(|found| Ok(Matcher::Deleting { finalizer: checked_key(found.finalizer)? })),
        row.unschedulable.map(unschedulable_matcher),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(one), None) => one,
        _ => {
            Err("give exactly one of taint, label, annotation, condition, deleting and unschedulable"
                .to_owned())
        }
    }
}

fn unschedulable_matcher(wanted: bool) -> Result<Matcher, String> {
    if wanted { Ok(Matcher::Unschedulable) } else { Err("unschedulable can only be true".to_owned()) }
}

fn taint_matcher(taint: Taint) -> Result<Matcher, String> {
    let effect = taint.effect.map(|effect| match effect {
        Effect::NoSchedule => "NoSchedule",
        Effect::PreferNoSchedule => "PreferNoSchedule",
        Effect::NoExecute => NO_EXECUTE,
    });
    match (taint.key, taint.value) {
        (Some(key), value) => Ok(Matcher::Taint {
            key: checked_key(key)?,
            value: tests(value, "value")?,
            effect: effect.map(Cow::Borrowed),
        }),
        (None, None) if effect == Some(NO_EXECUTE) => Ok(Matcher::NoExecute),
        (None, _) => Err(
            "taint has no key; without one it can only be {effect: NoExecute}, anybody's taint that evicts"
                .to_owned(),
        ),
    }
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
        ("notStartsWith", one(given.not_starts_with), By::Start, true),
        ("contains", one(given.contains), By::Content, false),
        ("containsAny", given.contains_any, By::Content, false),
        ("containsNone", given.contains_none, By::Content, true),
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
mod tests;
