//! Which nodes are asked for.

use std::num::NonZeroU32;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use crik_api::NodeState;
use serde::Deserialize;

use crate::base::limits;
use crate::serve::lists::{Page, Wanted};

/// The parameters.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    limit: Option<String>,
    r#continue: Option<String>,
    state: Option<String>,
}

/// What they mean.
///
/// # Errors
/// What is wrong with one of them.
pub fn check(asked: Result<Query<Asked>, QueryRejection>) -> Result<Wanted, String> {
    let Query(asked) = asked.map_err(|error| error.body_text())?;
    Ok(Wanted {
        limit: asked.limit.map(limit).transpose()?,
        page: asked.r#continue.map(page).transpose()?,
        states: asked.state.map(states).transpose()?,
    })
}

/// How many are wanted at most.
///
/// # Errors
/// It is no number of them.
pub fn limit(text: String) -> Result<usize, String> {
    let number = text.parse::<NonZeroU32>().ok().and_then(|number| usize::try_from(number.get()).ok());
    number.ok_or_else(|| format!("limit={:?} is no number from 1 on", shown(&text)))
}

fn page(word: String) -> Result<Page, String> {
    let problem =
        |_| format!("continue={:?} is no word that a list has given; begin without it", shown(&word));
    word.parse().map_err(problem)
}

fn states(text: String) -> Result<Vec<NodeState>, String> {
    let each = text.split(',').map(|word| {
        let known = || NodeState::ALL.map(NodeState::as_str).join(", ");
        word.parse().map_err(|_| format!("state={:?} is none of {}", shown(word), known()))
    });
    each.collect()
}

/// What is shown of a text that may be any.
pub fn shown(text: &str) -> String {
    text.chars().take(limits::NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Wanted, String> {
        check(Ok(Query::try_from_uri(&format!("/v1/nodes?{query}").parse().unwrap()).unwrap()))
    }

    #[test]
    fn each_parameter_is_read() {
        assert_eq!(of(""), Ok(Wanted::default()));
        let wanted = of("state=draining,gone&limit=5&continue=a-1-2").unwrap();
        assert_eq!(wanted.states, Some(vec![NodeState::Draining, NodeState::Gone]));
        assert_eq!((wanted.limit, wanted.page), (Some(5), Some("a-1-2".parse().unwrap())));
    }

    #[test]
    fn each_mistake_is_named() {
        for (query, expected) in [
            ("limit=0", "limit=\"0\" is no number"),
            ("limit=-1", "limit=\"-1\" is no number"),
            ("limit=", "limit=\"\" is no number"),
            ("limit=99999999999", "is no number"),
            ("continue=", "continue=\"\" is no word that a list has given"),
            ("continue=next", "continue=\"next\" is no word"),
            ("state=", "state=\"\" is none of unknown, ready"),
            ("state=ready,off", "state=\"off\" is none of"),
            ("state=Ready", "state=\"Ready\" is none of"),
        ] {
            let problem = of(query).unwrap_err();
            assert!(problem.contains(expected), "{query}: {problem}");
        }
    }
}
