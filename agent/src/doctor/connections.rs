//! What becomes of a program's connections in the next pod, counted.

use serde::{Deserialize, Serialize};

use super::descriptors::{Fate, Judge};
use crate::carry::open_files::NextContainer;
use crate::carry::streams;
use crate::config::Config;
use crate::tree::process::snapshot::Tree;

/// How many are named.
const NAMED: usize = 3;

/// Its connections, an end each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// How many go on.
    pub kept: usize,
    /// Those that the program finds closed: whose, and with whom.
    pub closed: Vec<String>,
}

impl Connections {
    /// Those of `tree`. None if the container cannot be looked at.
    pub fn of(tree: &Tree, config: &Config) -> Option<Self> {
        let next = NextContainer::new(&|_| true).ok()?;
        let streams = streams::of(std::process::id().cast_signed());
        let judge = Judge::new(tree, streams, next, config);
        let all = judge.all(tree);
        let closed = all.iter().filter(|one| one.fate == Fate::Closed);
        let closed = closed.map(|one| format!("process {} ({}): {}", one.pid, one.process, one.what));
        Some(Self { kept: judge.within(), closed: closed.collect() })
    }

    /// As a person is told. Empty if there are none.
    #[must_use]
    pub fn told(&self) -> String {
        let named = self.closed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let such_as = if self.closed.len() > NAMED { "such as " } else { "" };
        match (self.kept, self.closed.len()) {
            (0, 0) => String::new(),
            (kept, 0) => format!("all {kept} ends of connections that the program has would go on"),
            (kept, closed) => format!(
                "of the ends of connections that the program has, {kept} would go on and {closed} would be closed: {such_as}{named}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_counted_and_what_is_closed_is_named_too() {
        let told = |kept, closed: usize| {
            let closed = (0..closed).map(|at| format!("process 301 (app): tcp {at}")).collect();
            Connections { kept, closed }.told()
        };
        assert_eq!(told(0, 0), "");
        assert!(told(4, 0).starts_with("all 4 "));
        assert!(told(2, 1).ends_with("2 would go on and 1 would be closed: process 301 (app): tcp 0"));
        assert!(told(0, 9).ends_with(
            "such as process 301 (app): tcp 0, process 301 (app): tcp 1, process 301 (app): tcp 2"
        ));
    }
}
