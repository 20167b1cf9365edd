//! Checkpoints that are taken while the application goes on: every `interval`, and when somebody asks for one.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use crik_api::report::Occasion;
use crik_store::generation::manifest::Manifest;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::base::whole_story::whole_story;
use crate::base::{limits, memory};
use crate::checkpoint::checkpointer::Checkpointer;
use crate::supervise::control_socket::{Answer, Reply};
use crate::supervise::housekeeping;
use crate::supervise::looks::Looks;
use crate::supervise::reports::{Reports, told};
use crate::supervise::trial::{self, Tried};

/// At most one such checkpoint at a time.
pub struct Background {
    checkpointer: Arc<Checkpointer>,
    looks: Arc<Looks>,
    reports: Reports,
    under_way: Option<UnderWay>,
    /// When the next one is due, if they are periodic.
    due: Option<Instant>,
    /// For how long it was waited before another try, where that was not a whole interval.
    paused: Option<Duration>,
}

struct UnderWay {
    task: JoinHandle<Result<Done>>,
    hurry: Arc<Notify>,
    asked_by: Option<Reply>,
    /// Whether it is a checkpoint that was not given up, so that there should be one.
    is_expected: bool,
}

/// What is done beside the program.
enum Done {
    Committed(Box<Manifest>),
    Tried(Box<Tried>),
}

impl Background {
    /// The first periodic one is due after `interval`.
    pub fn new(checkpointer: &Arc<Checkpointer>, looks: &Arc<Looks>, reports: &Reports) -> Self {
        let (checkpointer, looks, reports) = (Arc::clone(checkpointer), Arc::clone(looks), reports.clone());
        let mut background = Self { checkpointer, looks, reports, under_way: None, due: None, paused: None };
        background.schedule(None);
        background
    }

    /// Counted from the end of the one before, so that a slow volume has its time.
    fn schedule(&mut self, sooner: Option<Duration>) {
        let config = &self.checkpointer.workload.config;
        let interval = config.interval.filter(|_| config.image_dir.is_some());
        self.paused = interval.zip(sooner).map(|(interval, sooner)| sooner.min(interval));
        self.due = self.paused.or(interval).map(|pause| Instant::now() + pause);
    }

    /// What runs beside the program may have been what kept it from being frozen, and may be gone in a moment.
    fn another_try(&self) -> Option<Duration> {
        let pause = self.paused.map_or(limits::SESSION_RETRY, |before| before * 2);
        self.checkpointer.runs_beside_others().then_some(pause)
    }

    /// Begins one for who has asked.
    pub fn begin(&mut self, asked_by: Option<Reply>) {
        let (checkpointer, looks) = (Arc::clone(&self.checkpointer), Arc::clone(&self.looks));
        self.begin_with(asked_by, true, async move |hurry| {
            looks.before_checkpoint().await;
            checkpointer.snapshot(hurry).await.map(|committed| Done::Committed(Box::new(committed)))
        });
    }

    /// Begins a trial for who has asked; of one that another pod is to finish, the image is kept.
    pub fn begin_trial(&mut self, asked_by: Reply, keep: bool) {
        let checkpointer = Arc::clone(&self.checkpointer);
        self.begin_with(Some(asked_by), false, async move |hurry| {
            let tried = match keep {
                true => trial::keep(checkpointer, hurry).await,
                false => trial::run(checkpointer, hurry).await,
            };
            tried.map(|tried| Done::Tried(Box::new(tried)))
        });
    }

    fn begin_with<F>(
        &mut self,
        asked_by: Option<Reply>,
        is_expected: bool,
        work: impl FnOnce(Arc<Notify>) -> F,
    ) where
        F: Future<Output = Result<Done>> + Send + 'static,
    {
        if self.under_way.is_some() {
            asked_by.iter().for_each(|reply| {
                reply.send(Answer::failed("another checkpoint is under way; see the agent's log"));
            });
            return;
        }
        let hurry = Arc::<Notify>::default();
        let task = tokio::spawn(work(Arc::clone(&hurry)));
        self.under_way = Some(UnderWay { task, hurry, asked_by, is_expected });
    }

    /// Does what is due, for ever. Nothing is lost if this is dropped while it waits.
    pub async fn go_on(&mut self) -> ! {
        loop {
            match (&mut self.under_way, self.due) {
                (Some(one), _) => {
                    let outcome = (&mut one.task).await;
                    self.finish(outcome);
                }
                (None, Some(due)) => {
                    sleep_until(due).await;
                    self.begin(None);
                }
                (None, None) => pending().await,
            }
        }
    }

    /// Makes way for a checkpoint that must be done by `deadline`: finishes the one that is under way if that is the better thing to
    /// do, and gives it up otherwise.
    pub async fn make_way(&mut self, deadline: Instant) {
        let mut told = false;
        while let (Some(one), Some(rest)) = (&mut self.under_way, self.checkpointer.finish_first(deadline)) {
            if !std::mem::replace(&mut told, true) {
                tracing::info!(
                    step = "commit",
                    "the checkpoint that is nearly durable is finished first, which takes about {rest:.1?} more"
                );
            }
            // Looked at again, since a volume may become slower.
            if let Ok(outcome) = timeout(limits::PACE_POLL, &mut one.task).await {
                self.finish(outcome);
                return;
            }
        }
        self.give_up(deadline).await;
    }

    /// Gives up the one that is under way. Once its commit has begun it is waited for instead, until `deadline`: nobody
    /// else may take its number.
    pub async fn give_up(&mut self, deadline: Instant) {
        let Some(one) = &mut self.under_way else { return };
        one.hurry.notify_one();
        one.is_expected = false;
        match timeout_at(deadline, &mut one.task).await {
            Ok(outcome) => self.finish(outcome),
            Err(_) => tracing::error!("the volume holds up the commit of an earlier checkpoint"),
        }
    }

    /// One was taken for another reason, and the program goes on all the same.
    pub fn after_another(&mut self) {
        self.retain();
        self.schedule(None);
    }

    fn finish(&mut self, outcome: Result<Result<Done>, JoinError>) {
        let one = self.under_way.take();
        let is_expected = one.as_ref().is_some_and(|one| one.is_expected);
        let asked_by = one.and_then(|one| one.asked_by);
        let occasion = if asked_by.is_some() { Occasion::Asked } else { Occasion::Interval };
        let mut sooner = None;
        let answer = match outcome.map_err(anyhow::Error::from).flatten() {
            Ok(Done::Tried(tried)) => {
                tracing::info!(step = "check", "{}", trial::told(&tried).trim_end().replace('\n', "; "));
                Answer::Tried(tried)
            }
            Ok(Done::Committed(committed)) => {
                self.retain();
                self.reports.tell(told::checkpointed(&committed, occasion));
                Answer::committed(&committed)
            }
            Err(error) => {
                let why = whole_story(&error);
                tracing::error!(step = "checkpoint", "no checkpoint; the application goes on: {why}");
                drop(self.checkpointer.clean_up());
                sooner = self.another_try();
                if is_expected {
                    self.reports.tell(told::not_checkpointed(occasion, &why));
                }
                Answer::failed(&why)
            }
        };
        asked_by.iter().for_each(|reply| reply.send(answer.clone()));
        self.schedule(sooner);
        if let Some(pause) = self.paused {
            tracing::info!(
                step = "checkpoint",
                "something else runs in this container; it is tried again in {pause:.0?}"
            );
        }
    }

    fn retain(&self) {
        let checkpointer = Arc::clone(&self.checkpointer);
        spawn_blocking(move || {
            checkpointer.hold().iter().for_each(|hold| housekeeping::retain(&checkpointer, hold));
            memory::give_back();
        });
    }
}
