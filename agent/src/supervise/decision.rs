//! Asks what there is to know, and decides what a SIGTERM means.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::limits;
use crate::base::panics::Defect;
use crate::cluster::node::Node;
use crate::cluster::node::decide::{Decision, Past, Policy};
use crate::cluster::pod::{Asking, after_sigterm};
use crate::workload::Workload;

/// A decision, and what it has to keep to.
#[derive(Debug)]
pub struct Decided {
    /// What to do.
    pub decision: Decision,
    /// How long the pod has from SIGTERM to SIGKILL, if whoever ends it has set that.
    pub grace: Option<Duration>,
}

impl Decided {
    /// The work of days is worth more than an ordinary stop.
    pub fn from_defect(defect: &Defect) -> Self {
        Decision::Checkpoint(defect.to_string()).into()
    }
}

impl From<Decision> for Decided {
    fn from(decision: Decision) -> Self {
        Self { decision, grace: None }
    }
}

/// The time for it counts from when the stop `began`, which may be long ago, since a checkpoint was tried first.
pub async fn decide(workload: &Workload, node: Option<&Node>, began: Instant) -> Decided {
    let config = &workload.config;
    if config.image_dir.is_none() {
        let why = "no imageDir is configured".to_owned();
        return Decision::Terminate { why, past: Past::Closed }.into();
    }
    let Some(node) = node else {
        return Decision::Checkpoint("no controller is configured".to_owned()).into();
    };
    let policy = Policy { checkpoint_on: config.checkpoint_on.clone(), on_unknown: config.on_unknown };
    let deadline = began + config.decision_timeout;
    let pod = node.ask_pod(deadline.max(Instant::now() + limits::POD_ANSWER));
    let verdict = |time_is_up| {
        let (node, pod) = (node.known(), pod.known());
        policy.decide(node.as_ref().map_err(Arc::clone), pod.as_ref(), time_is_up)
    };
    ask(node, &pod, deadline, || verdict(false).is_some()).await;
    // Who knows the node already has still to learn how much time there is, and a past is not closed unasked.
    pod.answer(limits::POD_ANSWER).await;
    let grace = pod.known().ok().and_then(|status| after_sigterm(&status, began.elapsed()));
    // At the end there is always a verdict.
    let decision = verdict(true);
    let decision = decision.unwrap_or_else(|| Decision::Checkpoint("there was no verdict".to_owned()));
    Decided { decision, grace }
}

/// Asks until it is known well `enough`, or until the `deadline`.
async fn ask(node: &Node, pod: &Asking, deadline: Instant, enough: impl Fn() -> bool) {
    // To ask without time would only forget what is known.
    if enough() || Instant::now() >= deadline {
        return;
    }
    tokio::select! {
        () = node.ask_until(deadline, &enough) => {}
        () = pod.until(&enough) => {}
    }
}

#[cfg(test)]
mod tests {
    use crik_api::{NodeState, NodeStatus};
    use crik_store::generation::keys::GenerationKeys;
    use crik_store::image_dir::pod::Pod;

    use super::*;
    use crate::config::Config;

    /// What is decided of a node that was ready before, when nobody can be asked, so long after the SIGTERM.
    async fn decided_after(since: Duration) -> Decision {
        let config = Config {
            image_dir: Some("/c".into()),
            decision_timeout: Duration::from_secs(1),
            ..Config::default()
        };
        let (keys, pod) = (GenerationKeys::default(), Pod::default());
        let workload = Workload { config, keys, command: Vec::new(), pod };
        let (name, version) = ("node-a".to_owned(), String::new());
        let (reasons, hints) = (Vec::new(), Vec::new());
        let status = NodeStatus { name, state: NodeState::Ready, version, reasons, hints, stale: false };
        decide(&workload, Some(&Node::of_the_past(status)), Instant::now() - since).await.decision
    }

    #[tokio::test]
    async fn what_is_known_decides_when_the_time_to_ask_is_over() {
        let began = Instant::now();
        let decision = decided_after(Duration::from_secs(10)).await;
        assert!(
            matches!(&decision, Decision::Terminate { why, .. } if why.contains("node-a is ready")),
            "{decision:?}"
        );
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_known_does_not_decide_alone_as_long_as_there_is_time() {
        let decision = decided_after(Duration::ZERO).await;
        assert!(matches!(decision, Decision::Checkpoint(_)), "{decision:?}");
    }
}
