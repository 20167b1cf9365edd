//! After a checkpoint for a move the program stands still, in memory, until its pod is ended. If nobody does that, it goes on here.

use std::io;
use std::time::Duration;

use crik_api::PodState;
use crik_api::report::{Occasion, What};
use crik_store::generation::manifest::Manifest;
use tokio::time::{Instant, sleep_until};

use crate::base::fault_points::hurried;
use crate::base::limits;
use crate::cluster::node::Node;
use crate::cluster::node::move_watch::MoveWatch;
use crate::supervise::control_socket::{Answer, Control};
use crate::supervise::during_checkpoint::Meanwhile;
use crate::supervise::looks::Looks;
use crate::supervise::reports::{Reports, told};
use crate::supervise::stop::Stop;
use crate::supervise::supervisor::{Event, Supervisor};

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The pod is ended, or somebody has ended the program: the checkpoint is what goes on.
    Ends,
    /// Nobody has ended the pod.
    GoesOn,
}

/// All that may happen meanwhile.
pub struct StayStopped<'a> {
    /// Signals, and the program's end.
    pub supervisor: &'a mut Supervisor,
    /// Whose controller knows who ends the pod.
    pub node: Option<&'a Node>,
    /// Those who ask for something.
    pub control: &'a mut Control,
    /// Evictions that wait for a checkpoint.
    pub moves: &'a mut MoveWatch,
    /// Where it is told.
    pub reports: &'a Reports,
    /// Which look at no program that stands still.
    pub looks: &'a Looks,
}

/// How long it is waited.
pub fn patience() -> Duration {
    hurried(limits::STAY_STOPPED)
}

impl StayStopped<'_> {
    /// Waits, after the checkpoint that is `committed`. What came `meanwhile` counts, and what comes is added to it: nothing is passed to
    /// a program that stands still.
    ///
    /// # Errors
    /// The tree can no longer be watched over.
    pub async fn wait(self, committed: &Manifest, meanwhile: &mut Meanwhile) -> io::Result<Outcome> {
        let mut until = self.begin(committed);
        while meanwhile.stop.is_none() {
            tokio::select! {
                biased;
                event = self.supervisor.next() => match event? {
                    Event::Stop(signal) => meanwhile.stop = Some(Stop::by(signal)),
                    Event::Signal(signal) => meanwhile.keep(signal),
                    Event::Ended(status) => {
                        tracing::warn!(step = "move", "the application was ended while it stood still: {status}");
                        return Ok(Outcome::Ends);
                    }
                },
                asked = self.moves.next() => {
                    self.has_its_checkpoint(asked, committed);
                    until = self.begin(committed);
                }
                asked = self.control.next() => asked.reply.send(refused(until)),
                outcome = at_the_end(until, self.node) => return Ok(outcome),
            }
        }
        Ok(Outcome::Ends)
    }

    fn begin(&self, committed: &Manifest) -> Instant {
        let until = Instant::now() + patience();
        self.looks.stands_still_until(Some(until));
        tracing::info!(
            step = "move",
            generation = committed.generation.0,
            "the application stands still until its pod is ended, or for {:.0?}",
            patience()
        );
        until
    }

    /// A move that comes while the program stands still anyway has its checkpoint already.
    fn has_its_checkpoint(&self, asked: String, committed: &Manifest) {
        tracing::info!(step = "move", "the pod is to be moved, and its checkpoint is durable already");
        self.reports.tell(What::MoveBegun { asked });
        self.reports.tell(told::checkpointed(committed, Occasion::Move));
    }
}

/// What becomes of it when it has waited for long enough. The SIGTERM of a pod that is ended comes late where a preStop hook takes its time,
/// and on a node that is well it would end the work of a program that had gone on.
async fn at_the_end(until: Instant, node: Option<&Node>) -> Outcome {
    sleep_until(until).await;
    let Some(node) = node else { return Outcome::GoesOn };
    let pod = node.ask_pod(Instant::now() + limits::POD_ANSWER);
    pod.answer(limits::POD_ANSWER).await;
    match pod.known().map(|status| status.state) {
        Ok(PodState::Deleted | PodState::Disrupted) => {
            tracing::info!(
                step = "move",
                "the pod is being ended, so the application ends before its SIGTERM"
            );
            Outcome::Ends
        }
        _ => Outcome::GoesOn,
    }
}

fn refused(until: Instant) -> Answer {
    let left = until.saturating_duration_since(Instant::now());
    Answer::failed(&format!(
        "the application stands still after its checkpoint until its pod is ended; if nobody does that it goes on in {left:.0?}, so \
         ask again then"
    ))
}
