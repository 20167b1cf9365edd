//! A pod that is to be moved: its program is checkpointed and stands still until the pod is ended.

use anyhow::Result;
use crik_api::report::{Occasion, What};
use crik_store::generation::manifest::Manifest;

use super::Life;
use super::going_on;
use crate::base::whole_story::whole_story;
use crate::supervise::control_socket::{Answer, Reply};
use crate::supervise::during_checkpoint::Meanwhile;
use crate::supervise::reports::told;
use crate::supervise::stay_stopped::{self, Outcome, StayStopped};

impl Life {
    /// An eviction of the pod waits for a checkpoint.
    pub(super) async fn make_ready_to_move(&mut self, asked: String) -> Result<Option<i32>> {
        if let Some(why) = self.looks.obstacle() {
            tracing::warn!(step = "move", "the pod is to be moved, and no checkpoint is taken for it: {why}");
            self.reports.tell(told::not_checkpointed(Occasion::Move, &why));
            return Ok(None);
        }
        tracing::info!(step = "move", "a checkpoint is taken, since the pod is to be moved");
        self.reports.tell(What::MoveBegun { asked });
        self.stay_stopped(Occasion::Move, None).await
    }

    /// Takes a checkpoint after which the application stands still until its pod is ended. If that is not done, it goes on.
    pub(super) async fn stay_stopped(
        &mut self,
        occasion: Occasion,
        reply: Option<Reply>,
    ) -> Result<Option<i32>> {
        let (outcome, mut meanwhile) = self.attempt(occasion).await?;
        let answer = match &outcome {
            Ok((_, committed)) => Answer::standing(committed, stay_stopped::patience()),
            Err(error) => Answer::failed(&whole_story(error)),
        };
        reply.iter().for_each(|reply| reply.send(answer.clone()));
        let Ok((tree, committed)) = outcome else { return self.catch_up(meanwhile).await };
        let outcome = self.stand_still(&committed, &mut meanwhile).await?;
        if outcome == Outcome::Ends || !self.may_go_on(&committed).await {
            tree.end();
            return Ok(Some(self.leave().await));
        }
        drop(tree);
        self.stays();
        self.catch_up(meanwhile).await
    }

    async fn stand_still(&mut self, committed: &Manifest, meanwhile: &mut Meanwhile) -> Result<Outcome> {
        let _held_up = self.checkpointer.warm_up.hold_up();
        let standing = StayStopped {
            supervisor: &mut self.supervisor,
            node: self.node.as_deref(),
            control: &mut self.control,
            moves: &mut self.moves,
            reports: &self.reports,
            looks: &self.looks,
        };
        Ok(standing.wait(committed, meanwhile).await?)
    }

    async fn may_go_on(&self, committed: &Manifest) -> bool {
        let Some(hold) = self.checkpointer.hold() else { return false };
        going_on::may_go_on(&hold, committed.generation, &self.checkpointer.workload.pod).await
    }

    /// The application goes on here, and its checkpoint is one of the past.
    fn stays(&mut self) {
        tracing::warn!(step = "move", "nobody has ended the pod; the application goes on here");
        self.looks.stands_still_until(None);
        self.reports.tell(What::Stayed);
        self.background.after_another();
    }
}
