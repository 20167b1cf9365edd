//! The stop: signal → decide → checkpoint (freeze → commit) → exit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::base::fault_points::{Point, reach};
use crate::base::panics::contained;
use crate::base::termination_message;
use crate::base::units::whole_ms;
use crate::base::whole_story::whole_story;
use crate::checkpoint::checkpointer::Checkpointer;
use crate::cluster::node::Node;
use crate::cluster::node::decide::{Decision, Past};
use crate::store::image_dir::hold::Hold;
use crate::supervise::background_checkpoints::Background;
use crate::supervise::decision::{Decided, decide};
use crate::supervise::next_start::Phase;
use crate::supervise::supervisor::{Event, Supervisor};
use crate::tree::process::reap::Status;

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
    let Decided { decision, grace } = decision.unwrap_or_else(|defect| Decided::from_defect(&defect));
    tell(&decision, whole_ms(began.elapsed()));
    reach(Point::Decided);
    let deadline = began + checkpointer.patience_within(grace);
    tell_grace(grace, checkpointer.workload.config.grace_period);
    if let Decision::Terminate { past, .. } = decision {
        supervisor.forward(libc::SIGTERM);
        if let Past::Open = past {
            // A checkpoint that is nearly durable will be resumed.
            if checkpointer.finish_first(deadline).is_none() {
                background.give_up(deadline).await;
            }
            return Ok(StopOutcome::Passed(Phase::Interrupted, None));
        }
        background.give_up(deadline).await;
        return Ok(StopOutcome::Passed(Phase::Terminating, checkpointer.hold().map(let_go)));
    }
    background.make_way(deadline).await;
    let Err(error) = checkpointer.checkpoint(deadline).await.map(drop) else {
        return Ok(StopOutcome::Checkpointed);
    };
    // First of all: what is left of the grace period is the application's.
    supervisor.forward(libc::SIGTERM);
    let why = whole_story(&error);
    tracing::error!(step = "stop", "no checkpoint; the application is told to stop: {why}");
    Ok(StopOutcome::Passed(Phase::CheckpointFailed, Some(after_failure(checkpointer, why))))
}

/// What is left to do on the volume after a checkpoint that failed for this reason: to clean up, and to say why where the next pod
/// and `kubectl describe` find it.
pub fn after_failure(checkpointer: &Arc<Checkpointer>, why: String) -> JoinHandle<()> {
    let (cleaned, checkpointer) = (checkpointer.clean_up(), Arc::clone(checkpointer));
    termination_message::tell(&format!("no checkpoint: {why}"));
    let noted = spawn_blocking(move || {
        let noted =
            checkpointer.hold().map_or(Ok(()), |hold| hold.note_stop(&checkpointer.workload.pod, &why));
        if let Err(error) = noted {
            tracing::warn!("why there is no checkpoint cannot be kept for the next pod: {error}");
        }
    });
    tokio::spawn(async move {
        for rest in cleaned.into_iter().chain([noted]) {
            let _ = rest.await;
        }
    })
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
        Decision::Terminate { why, .. } => {
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

fn tell_grace(grace: Option<Duration>, configured: Duration) {
    if let Some(grace) = grace.filter(|grace| *grace < configured) {
        tracing::info!(
            step = "decide",
            "the pod has {grace:?}, less than gracePeriod, by the wish of whoever ends it"
        );
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
