//! The stop: signal → decide → checkpoint (freeze → commit) → exit.

use std::sync::Arc;

use anyhow::Result;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::base::fault_points::{Point, reach};
use crate::base::panics::contained;
use crate::base::units::whole_ms;
use crate::base::whole_story::whole_story;
use crate::checkpoint::checkpointer::Checkpointer;
use crate::cluster::node::Node;
use crate::cluster::node::decide::{Decision, Policy};
use crate::store::image_dir::hold::Hold;
use crate::supervise::background_checkpoints::Background;
use crate::supervise::next_start::Phase;
use crate::supervise::supervisor::{Event, Supervisor};
use crate::tree::process::reap::Status;
use crate::workload::Workload;

/// How a SIGTERM was answered.
#[derive(Debug)]
pub enum StopOutcome {
    /// The tree is durable and has been killed.
    Checkpointed,
    /// The tree got the SIGTERM, and there may be something left to do on the volume.
    Passed(Phase, Option<JoinHandle<()>>),
    /// The tree ended before there was a decision.
    Ended(Status),
}

/// Answers a SIGTERM that came when the stop `began`.
///
/// # Errors
/// Only those of watching over the tree; a checkpoint that fails is an outcome.
pub async fn stop(
    checkpointer: &Arc<Checkpointer>,
    node: Option<&Node>,
    supervisor: &mut Supervisor,
    background: &mut Background,
    began: Instant,
) -> Result<StopOutcome> {
    let workload = &checkpointer.workload;
    let decision = tokio::select! {
        decision = contained(decide(workload, node, began)) => decision,
        status = ended(supervisor) => return Ok(StopOutcome::Ended(status?)),
    };
    // The work of days is worth more than an ordinary stop.
    let decision = decision.unwrap_or_else(|defect| Decision::Checkpoint(defect.to_string()));
    tell(&decision, whole_ms(began.elapsed()));
    reach(Point::Decided);
    let deadline = began + checkpointer.patience();
    if let Decision::Terminate(_) = decision {
        supervisor.forward(libc::SIGTERM);
        background.give_up(deadline).await;
        return Ok(StopOutcome::Passed(Phase::Terminating, checkpointer.hold().map(let_go)));
    }
    background.make_way(deadline).await;
    let Err(error) = checkpointer.checkpoint(deadline).await.map(drop) else {
        return Ok(StopOutcome::Checkpointed);
    };
    // First of all: what is left of the grace period is the application's.
    supervisor.forward(libc::SIGTERM);
    tracing::error!(step = "stop", "no checkpoint; the application is told to stop: {}", whole_story(&error));
    Ok(StopOutcome::Passed(Phase::CheckpointFailed, checkpointer.clean_up()))
}

/// Someone wants it stopped, so its past is not resumed, also if it outlives its grace period and is killed; and whoever
/// comes next need not wait for it.
fn let_go(hold: Arc<Hold>) -> JoinHandle<()> {
    spawn_blocking(move || {
        mark_ended(&hold, "told to stop");
        hold.release();
    })
}

/// Marks the workload as ended. Says in the log if it cannot.
pub fn mark_ended(hold: &Hold, why: &str) {
    if let Err(error) = hold.mark_ended(why) {
        tracing::error!("the end cannot be marked, so an older checkpoint may be resumed: {error}");
    }
}

fn tell(decision: &Decision, ms: u64) {
    match decision {
        Decision::Terminate(why) => {
            tracing::info!(
                step = "decide",
                decision = "terminate",
                ms,
                "the application is told to stop: {why}"
            );
        }
        Decision::Checkpoint(why) => {
            tracing::info!(step = "decide", decision = "checkpoint", ms, "a checkpoint is taken: {why}");
        }
    }
}

/// Passes signals on until the tree ends; further SIGTERMs say nothing new.
async fn ended(supervisor: &mut Supervisor) -> Result<Status> {
    loop {
        match supervisor.next().await? {
            Event::Ended(status) => return Ok(status),
            Event::Signal(libc::SIGTERM) => {}
            Event::Signal(signal) => supervisor.forward(signal),
        }
    }
}

/// The time for it counts from when the stop `began`, which may be long ago, since a checkpoint was tried first.
async fn decide(workload: &Workload, node: Option<&Node>, began: Instant) -> Decision {
    let config = &workload.config;
    if config.image_dir.is_none() {
        return Decision::Terminate("no imageDir is configured".to_owned());
    }
    let Some(node) = node else { return Decision::Checkpoint("no controller is configured".to_owned()) };
    let policy = Policy { checkpoint_on: config.checkpoint_on.clone(), on_unknown: config.on_unknown };
    let verdict = |time_is_up| policy.decide(node.known().as_ref().map_err(Arc::clone), time_is_up);
    let deadline = began + config.decision_timeout;
    // To ask without time would only forget what is known.
    if verdict(false).is_none() && Instant::now() < deadline {
        node.ask_until(deadline, || verdict(false).is_some()).await;
    }
    // At the end there is always a verdict.
    verdict(true).unwrap_or_else(|| Decision::Checkpoint("there was no verdict".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crik_api::{NodeState, NodeStatus};

    use super::*;
    use crate::config::Config;
    use crate::store::image_dir::pod::Pod;

    /// What is decided of a node that was ready before, when nobody can be asked, so long after the SIGTERM.
    async fn decided_after(since: Duration) -> Decision {
        let config = Config {
            image_dir: Some("/c".into()),
            decision_timeout: Duration::from_secs(1),
            ..Config::default()
        };
        let workload = Workload { config, key: None, command: Vec::new(), pod: Pod::default() };
        let (name, version) = ("node-a".to_owned(), String::new());
        let (reasons, hints) = (Vec::new(), Vec::new());
        let status = NodeStatus { name, state: NodeState::Ready, version, reasons, hints, stale: false };
        decide(&workload, Some(&Node::of_the_past(status)), Instant::now() - since).await
    }

    #[tokio::test]
    async fn what_is_known_decides_when_the_time_to_ask_is_over() {
        let began = Instant::now();
        let decision = decided_after(Duration::from_secs(10)).await;
        assert!(
            matches!(&decision, Decision::Terminate(why) if why.contains("node-a is ready")),
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
