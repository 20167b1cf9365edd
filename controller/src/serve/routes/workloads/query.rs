//! Which workloads are asked for.

use std::sync::Arc;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use crate::serve::name;
use crate::serve::routes::nodes::query::{limit, shown};
use crate::workloads::Workload;

/// The parameters.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    namespace: Option<String>,
    limit: Option<String>,
    r#continue: Option<String>,
}

/// What they mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    namespace: Option<String>,
    /// None for all that are left.
    limit: Option<usize>,
    /// The last pod of the page before.
    after: Option<String>,
}

/// A part of all.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The pods by their names.
    pub workloads: Vec<Arc<Workload>>,
    /// What gives the next page, if this is not the last one.
    pub next: Option<String>,
}

/// What the parameters mean.
///
/// # Errors
/// What is wrong with one of them.
pub fn check(asked: Result<Query<Asked>, QueryRejection>) -> Result<Wanted, String> {
    let Query(asked) = asked.map_err(|error| error.body_text())?;
    asked.namespace.as_deref().map(name::check_namespace).transpose()?;
    Ok(Wanted {
        namespace: asked.namespace,
        limit: asked.limit.map(limit).transpose()?,
        after: asked.r#continue.map(after).transpose()?,
    })
}

/// A pod, which need not be there any more: those after it are the same.
fn after(word: String) -> Result<String, String> {
    let problem =
        || format!("continue={:?} is no word that a list has given; begin without it", shown(&word));
    let (namespace, pod) = word.split_once('/').ok_or_else(problem)?;
    name::check_namespace(namespace).and_then(|()| name::check("pod", pod)).map_err(|_| problem())?;
    Ok(word)
}

impl Wanted {
    /// What is wanted of all, which are in the order of their names.
    pub fn of(self, all: Vec<Arc<Workload>>) -> Page {
        let is_wanted = |one: &Arc<Workload>| {
            self.namespace.as_deref().is_none_or(|namespace| one.namespace() == namespace)
                && self.after.as_deref().is_none_or(|after| &*one.pod > after)
        };
        let mut left = all.into_iter().filter(is_wanted);
        let workloads: Vec<_> = left.by_ref().take(self.limit.unwrap_or(usize::MAX)).collect();
        let next = left.next().and_then(|_| Some(workloads.last()?.pod.to_string()));
        Page { workloads, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Wanted, String> {
        check(Ok(Query::try_from_uri(&format!("/v1/workloads?{query}").parse().unwrap()).unwrap()))
    }

    fn pod(name: &str) -> Arc<Workload> {
        Arc::new(Workload { pod: name.into(), ..Workload::default() })
    }

    fn names(page: &Page) -> Vec<&str> {
        page.workloads.iter().map(|one| &*one.pod).collect()
    }

    #[test]
    fn pages_give_each_pod_once_also_if_the_last_one_is_gone() {
        let mut all = vec![pod("a/1"), pod("a/2"), pod("b/1"), pod("b/2")];
        let first = of("limit=2").unwrap().of(all.clone());
        assert_eq!((names(&first), first.next.as_deref()), (vec!["a/1", "a/2"], Some("a/2")));
        all.remove(1);
        let second = of("limit=2&continue=a/2").unwrap().of(all.clone());
        assert_eq!((names(&second), second.next.as_deref()), (vec!["b/1", "b/2"], None));
        let of_one = of("namespace=b&limit=1").unwrap().of(all);
        assert_eq!((names(&of_one), of_one.next.as_deref()), (vec!["b/1"], Some("b/1")));
    }

    #[test]
    fn each_mistake_is_named() {
        for (query, expected) in [
            ("limit=0", "limit=\"0\" is no number"),
            ("namespace=A", "\"A\" is no namespace"),
            ("continue=a", "continue=\"a\" is no word"),
            ("continue=a/B", "continue=\"a/B\" is no word"),
        ] {
            let problem = of(query).unwrap_err();
            assert!(problem.contains(expected), "{query}: {problem}");
        }
    }
}
