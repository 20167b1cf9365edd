//! Whether the program of a pod goes on: as its agent has told the controller, else as its log says.

use super::client::{Client, KubectlError};
use super::log_start::{self, LoggedStart};
use super::pod::{NOT_BEHIND_CRIK, Pod};
use crate::base::limits;

/// What is seen of a pod that is to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Not yet; what it waits for.
    Waits(String),
    /// It goes on from this generation.
    Resumed(u64),
    /// It has begun anew, and why.
    Fresh(String),
    /// It runs, and who asks may not know more.
    Unknown(String),
}

/// Looks at a pod, in whose container of this name the agent is, if nothing else tells.
pub fn look(client: &Client, pod: &Pod, container: Option<&str>) -> Seen {
    let log = || {
        let (container, _) = pod.container(container).ok()?;
        Some(client.ask(&["logs", pod.name(), "--container", container, limits::KUBECTL_LOG_BYTES]))
    };
    let seen = || {
        if pod.has_begun() { log().map_or_else(|| logged(None), asked) } else { Seen::Waits(pod.waits_for()) }
    };
    told(pod).unwrap_or_else(seen)
}

/// What comes of asking for the log. Who may not read it now may not later.
fn asked(log: Result<String, KubectlError>) -> Seen {
    match log {
        Err(error @ KubectlError::Forbidden { .. }) => Seen::Unknown(error.to_string()),
        log => logged(log.ok().as_deref()),
    }
}

/// What its agent has told the controller.
fn told(pod: &Pod) -> Option<Seen> {
    if pod.was_left_out() {
        return Some(Seen::Fresh(NOT_BEHIND_CRIK.to_owned()));
    }
    let start = pod.last_start().filter(|_| !pod.is_ending())?;
    Some(match start.resumed {
        Some(resumed) => Seen::Resumed(resumed.generation),
        None => Seen::Fresh(start.why_fresh.unwrap_or_else(|| "it found no checkpoint".to_owned())),
    })
}

fn logged(log: Option<&str>) -> Seen {
    match log.and_then(log_start::of) {
        Some(LoggedStart::Resumed(generation)) => Seen::Resumed(generation),
        Some(LoggedStart::Fresh(why)) => Seen::Fresh(why),
        None => Seen::Waits("its program to go on".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crik_api::report::LAST_START;
    use serde_json::{Value, json};

    use super::super::pod::fixture;
    use super::*;

    fn of(start: Value) -> Option<Seen> {
        told(&Pod::from(fixture::pod(&[(LAST_START, start)])))
    }

    #[test]
    fn what_the_agent_has_told_counts() {
        let resumed = json!({"at": "t", "resumed": {"generation": 7, "seconds": 1.0}});
        assert_eq!(of(resumed), Some(Seen::Resumed(7)));
        assert_eq!(of(json!({"at": "t", "whyFresh": "altered"})), Some(Seen::Fresh("altered".to_owned())));
        assert_eq!(told(&Pod::from(fixture::pod(&[]))), None);
    }

    #[test]
    fn a_pod_that_was_put_under_no_crik_begins_anew() {
        let mut pod = fixture::pod(&[]);
        pod["metadata"]["labels"] = json!({"crik.dev/inject": "true"});
        assert_eq!(told(&Pod::from(pod.clone())), None);
        pod["spec"]["containers"][0]["command"] = json!(["job"]);
        assert_eq!(told(&Pod::from(pod)), Some(Seen::Fresh(NOT_BEHIND_CRIK.to_owned())));
    }

    #[test]
    fn who_may_not_read_the_log_does_not_wait_for_it() {
        let refused =
            "User \"eve\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"jobs\"";
        let seen = asked(Err(KubectlError::forbidden(refused).unwrap()));
        assert!(matches!(&seen, Seen::Unknown(why) if why.contains("[pods/log]")), "{seen:?}");
        let away =
            KubectlError::Failed { asked: "logs job-0".to_owned(), said: "connection refused".to_owned() };
        assert!(matches!(asked(Err(away)), Seen::Waits(_)));
    }

    #[test]
    fn a_log_counts_where_nothing_was_told() {
        let log = "INFO restored generation 00000002; the application goes on\n";
        assert_eq!(logged(Some(log)), Seen::Resumed(2));
        assert!(matches!(logged(None), Seen::Waits(_)) && matches!(logged(Some("begin")), Seen::Waits(_)));
    }
}
