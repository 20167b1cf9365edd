//! The stop: signal → decide → checkpoint (freeze → commit) → exit. The signal is a SIGTERM, or what the image has its runtime send.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use crik_api::report::Occasion;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::last_stop::NoCheckpoint;
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
use crate::supervise::background_checkpoints::Background;
use crate::supervise::decision::{Decided, decide};
use crate::supervise::next_start::Phase;
use crate::supervise::reports::{Reports, told};
use crate::supervise::supervisor::{Event, Supervisor};
use crate::tree::process::reap::Status;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// By this signal, which is the application's if there is no checkpoint.
    pub signal: i32,
    /// When its time began.
    pub began: Instant,
}

impl Stop {
    /// One that is asked for now.
    pub fn by(signal: i32) -> Self {
        Self { signal, began: Instant::now() }
    }
}

/// How it was answered.
#[derive(Debug)]
pub enum StopOutcome {
    /// The tree is durable and has been killed.
    Checkpointed,
    /// The tree got the signal, and there may be something left to do on the volume.
    Passed(Phase, Option<JoinHandle<()>>),
    /// The tree ended before there was a decision.
    Ended(Status),
}

/// Answers a stop that was asked for.
///
/// # Errors
/// Only those of watching over the tree; a checkpoint that fails is an outcome.
pub async fn stop(
    checkpointer: &Arc<Checkpointer>,
    node: Option<&Node>,
    supervisor: &mut Supervisor,
    background: &mut Background,
    reports: &Reports,
    asked: Stop,
) -> Result<StopOutcome> {
    let Stop { signal, began } = asked;
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
    tell_grace(grace, workload.config.grace_period);
    reports.killed_at(began + grace.unwrap_or(workload.config.grace_period));
    if let Decision::Terminate { why, past } = decision {
        supervisor.forward(signal);
        termination_message::tell(&format!("no checkpoint: {why}"));
        reports.tell(told::told_to_stop(&why));
        return Ok(terminating(checkpointer, background, deadline, why, past).await);
    }
    background.make_way(deadline).await;
    let error = match checkpointer.checkpoint(deadline).await {
        Ok(committed) => {
            reports.tell(told::checkpointed(&committed, Occasion::Stop));
            return Ok(StopOutcome::Checkpointed);
        }
        Err(error) => error,
    };
    // First of all: what is left of the grace period is the application's.
    supervisor.forward(signal);
    let why = whole_story(&error);
    tracing::error!(step = "stop", "no checkpoint; the application is told to stop: {why}");
    reports.tell(told::not_checkpointed(Occasion::Stop, &why));
    Ok(StopOutcome::Passed(Phase::CheckpointFailed, Some(after_failure(checkpointer, why))))
}

/// What becomes of the checkpoints, where none is taken for this reason.
async fn terminating(
    checkpointer: &Arc<Checkpointer>,
    background: &mut Background,
    deadline: Instant,
    why: String,
    past: Past,
) -> StopOutcome {
    let reason = NoCheckpoint::Unwanted(why);
    if let Past::Open = past {
        let noted = note(checkpointer, reason);
        // A checkpoint that is nearly durable will be resumed.
        if checkpointer.finish_first(deadline).is_none() {
            background.give_up(deadline).await;
        }
        return StopOutcome::Passed(Phase::Interrupted, Some(noted));
    }
    background.give_up(deadline).await;
    StopOutcome::Passed(Phase::Terminating, Some(let_go(checkpointer, reason)))
}

/// What is left to do on the volume after a checkpoint that failed for this reason: to clean up, and to say why where the next pod
/// and `kubectl describe` find it.
pub fn after_failure(checkpointer: &Arc<Checkpointer>, why: String) -> JoinHandle<()> {
    termination_message::tell(&format!("no checkpoint: {why}"));
    let (cleaned, noted) = (checkpointer.clean_up(), note(checkpointer, NoCheckpoint::Failed(why)));
    tokio::spawn(async move {
        for rest in cleaned.into_iter().chain([noted]) {
            let _ = rest.await;
        }
    })
}

/// Notes on the volume why there is no checkpoint, if this pod may write there.
fn note(checkpointer: &Arc<Checkpointer>, reason: NoCheckpoint) -> JoinHandle<()> {
    let checkpointer = Arc::clone(checkpointer);
    spawn_blocking(move || {
        checkpointer.hold().iter().for_each(|hold| note_stop(&checkpointer, hold, &reason));
    })
}

fn note_stop(checkpointer: &Checkpointer, hold: &Hold, reason: &NoCheckpoint) {
    if let Err(error) = hold.note_stop(&checkpointer.workload.pod, reason) {
        tracing::warn!("why there is no checkpoint cannot be kept for the next pod: {error}");
    }
}

/// Someone wants it stopped, so its past is not resumed, also if it outlives its grace period and is killed; and whoever
/// comes next need not wait for it.
fn let_go(checkpointer: &Arc<Checkpointer>, reason: NoCheckpoint) -> JoinHandle<()> {
    let checkpointer = Arc::clone(checkpointer);
    spawn_blocking(move || {
        let Some(hold) = checkpointer.hold() else { return };
        mark_ended(&hold, "told to stop");
        note_stop(&checkpointer, &hold, &reason);
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
            "the pod has {grace:.0?}, less than gracePeriod, by the wish of whoever ends it or after its preStop hook"
        );
    }
}

/// Passes signals on until the tree ends; further ones that ask for a stop say nothing new.
async fn ended(supervisor: &mut Supervisor) -> Result<Status> {
    loop {
        match supervisor.next().await? {
            Event::Ended(status) => return Ok(status),
            Event::Stop(_) => {}
            Event::Signal(signal) => supervisor.forward(signal),
        }
    }
}
