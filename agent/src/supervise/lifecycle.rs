//! The life of a tree, from its start to its end.

mod going_on;
mod moving;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use crik_api::report::Occasion;
use crik_store::generation::clock_facts::Installed;
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::pod::Pod;
use nix::sys::signalfd::SignalFd;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use crate::base::limits;
use crate::base::panics::{Defect, contained};
use crate::base::signals::Signals;
use crate::base::whole_story::whole_story;
use crate::carry::clocks::install;
use crate::checkpoint::checkpointer::Checkpointer;
use crate::checkpoint::kept_trial;
use crate::checkpoint::standing_tree::StandingTree;
use crate::cluster::node::Node;
use crate::cluster::node::move_watch::MoveWatch;
use crate::cluster::node::notice::Notice;
use crate::cluster::node::notice_watch::NoticeWatch;
use crate::cluster::pod::PodName;
use crate::config::Access;
use crate::supervise::background_checkpoints::Background;
use crate::supervise::control_socket::{Answer, Asked, Control, Reply, Wish};
use crate::supervise::during_checkpoint::Meanwhile;
use crate::supervise::housekeeping;
use crate::supervise::looks::Looks;
use crate::supervise::next_start::{NextStart, Phase, next_start};
use crate::supervise::reports::{Reports, told};
use crate::supervise::start::start;
use crate::supervise::stop::{Stop, StopOutcome, after_failure, mark_ended, stop};
use crate::supervise::supervisor::{Event, Supervisor};
use crate::supervise::warm_up;
use crate::tree::criu;
use crate::tree::process::reap::{self, Status};
use crate::workload::Workload;

/// Starts the tree, watches over it, and ends as it ends. Returns the exit code.
///
/// # Errors
/// Nothing could be started, or it can no longer be watched over.
pub async fn live(workload: &Arc<Workload>, signals: SignalFd) -> Result<i32> {
    let began = std::time::Instant::now();
    let node = workload.config.access().map(|access| Arc::new(follow(access, &workload.pod)));
    // A move may be asked for before the program runs.
    let moves = MoveWatch::new(node.as_deref());
    let reports = Reports::to(node.as_ref(), workload.pod.node.as_deref());
    let signals = Signals::new(signals, workload.config.stop_signals.0.clone())?;
    let started = start(workload, &signals).await?;
    reports.tell(told::started(&started, began));
    let supervisor = Supervisor::new(signals, started.root);
    let notice_watch = NoticeWatch::new(&workload.config, node.as_deref(), started.stayed);
    let checkpointer = Checkpointer::new(workload, started);
    let looks =
        Looks::new(&checkpointer, workload.config.image_dir.as_deref(), node.clone(), reports.clone());
    housekeeping::keep(&checkpointer, &looks);
    warm_up::keep(&checkpointer, node.as_deref());
    let life = Life {
        background: Background::new(&checkpointer, &looks, &reports),
        control: Control::listen(&checkpointer.progress, looks.teller()),
        phase: Phase::Running,
        rest: None,
        looks,
        checkpointer,
        node,
        notice_watch,
        moves,
        reports: reports.clone(),
        supervisor,
    };
    let library = life.checkpointer.running.library.clone();
    let code = life.go_on().await;
    reports.end().await;
    remove(library).await;
    code
}

fn follow(access: Access, pod: &Pod) -> Node {
    let own = PodName::learn(access.token_file.as_deref(), &pod.host, pod.uid());
    if let Err(unknown) = &own {
        tracing::warn!(step = "check", "each stop on a node that is well counts as wanted: {unknown}");
    }
    Node::follow(access, pod.node.as_deref(), own)
}

/// Nobody else needs the library, nor what CRIU knows of the kernel, and `/dev/shm` is the whole pod's.
async fn remove(library: Option<Installed>) {
    let removed = spawn_blocking(move || {
        library.iter().for_each(install::remove);
        criu::feature_cache::remove();
    });
    let _ = timeout(limits::CLEAN_UP_PATIENCE, removed).await;
}

/// A tree that runs, and what may happen to it.
struct Life {
    checkpointer: Arc<Checkpointer>,
    looks: Arc<Looks>,
    node: Option<Arc<Node>>,
    notice_watch: NoticeWatch,
    moves: MoveWatch,
    reports: Reports,
    supervisor: Supervisor,
    background: Background,
    control: Control,
    phase: Phase,
    /// What is left to do on the volume after a stop.
    rest: Option<JoinHandle<()>>,
}

/// What has happened.
enum News {
    Of(Event),
    Asked(Asked),
    Noticed(Notice),
    MoveAsked(String),
}

impl Life {
    async fn go_on(mut self) -> Result<i32> {
        loop {
            let over = match self.news().await? {
                News::Of(Event::Ended(status)) => Some(self.end(status).await),
                News::Of(Event::Stop(signal)) if self.phase == Phase::Running => {
                    self.stop(Stop::by(signal)).await?
                }
                // Once the application is told to stop, a further one is for it too.
                News::Of(Event::Stop(signal) | Event::Signal(signal)) => {
                    self.supervisor.forward(signal);
                    None
                }
                News::Asked(asked) => self.answer(asked).await?,
                News::Noticed(notice) => self.heed(notice).await?,
                News::MoveAsked(asked) => self.make_ready_to_move(asked).await?,
            };
            if let Some(code) = over {
                return Ok(code);
            }
        }
    }

    async fn news(&mut self) -> Result<News> {
        tokio::select! {
            biased;
            event = self.supervisor.next() => Ok(News::Of(event?)),
            asked = self.control.next() => Ok(News::Asked(asked)),
            asked = self.moves.next(), if self.phase == Phase::Running => Ok(News::MoveAsked(asked)),
            notice = self.notice_watch.next(), if self.phase == Phase::Running => Ok(News::Noticed(notice)),
            never = self.background.go_on(), if self.phase == Phase::Running => never,
        }
    }

    /// The exit code if that was the end.
    async fn stop(&mut self, asked: Stop) -> Result<Option<i32>> {
        self.looks.end();
        let (node, supervisor) = (self.node.as_deref(), &mut self.supervisor);
        let (background, reports) = (&mut self.background, &self.reports);
        let stop = stop(&self.checkpointer, node, supervisor, background, reports, asked);
        match contained(stop).await.unwrap_or_else(|defect| Ok(self.pass_on(asked.signal, &defect)))? {
            StopOutcome::Checkpointed => Ok(Some(self.leave().await)),
            StopOutcome::Ended(status) => Ok(Some(self.end(status).await)),
            StopOutcome::Passed(phase, rest) => {
                (self.phase, self.rest) = (phase, rest);
                Ok(None)
            }
        }
    }

    /// As without crik, after a stop that went wrong in a way that nobody has thought of.
    fn pass_on(&self, signal: i32, defect: &Defect) -> StopOutcome {
        self.supervisor.forward(signal);
        tracing::error!(step = "stop", "the application is told to stop: {defect}");
        self.reports.tell(told::not_checkpointed(Occasion::Stop, &defect.to_string()));
        StopOutcome::Passed(
            Phase::CheckpointFailed,
            Some(after_failure(&self.checkpointer, defect.to_string())),
        )
    }

    /// The exit code if that was the end.
    async fn answer(&mut self, asked: Asked) -> Result<Option<i32>> {
        if self.phase != Phase::Running {
            asked.reply.send(Answer::failed("the application is told to stop"));
            return Ok(None);
        }
        match asked.request {
            Wish::Trial(request) => self.background.begin_trial(asked.reply, request.keep),
            Wish::Checkpoint(request) if request.leave_running => self.background.begin(Some(asked.reply)),
            Wish::Checkpoint(request) if request.stay_stopped => {
                return self.stay_stopped(Occasion::Asked, Some(asked.reply)).await;
            }
            Wish::Checkpoint(_) => return self.checkpoint(asked.reply).await,
        }
        Ok(None)
    }

    /// A person wants the application to go on elsewhere. If that cannot be, it goes on here.
    async fn checkpoint(&mut self, reply: Reply) -> Result<Option<i32>> {
        let (outcome, meanwhile) = self.attempt(Occasion::Asked).await?;
        match outcome {
            Ok((tree, committed)) => {
                tree.end();
                Ok(Some(self.leave_after(reply, &committed).await))
            }
            Err(error) => {
                reply.send(Answer::failed(&whole_story(&error)));
                self.catch_up(meanwhile).await
            }
        }
    }

    /// The node goes away, and maybe nobody sends a SIGTERM before it is gone.
    async fn heed(&mut self, notice: Notice) -> Result<Option<i32>> {
        let Notice { state, why } = notice;
        tracing::info!(
            step = "decide",
            decision = "checkpoint",
            "a checkpoint is taken without a SIGTERM: {why}"
        );
        let (outcome, meanwhile) = self.attempt(Occasion::Notice).await?;
        if let Ok((tree, _)) = outcome {
            tree.end();
            return Ok(Some(self.leave().await));
        }
        self.notice_watch.failed(state);
        self.catch_up(meanwhile).await
    }

    /// Takes a checkpoint that leaves the tree stopped. If there is none, the application goes on as if nothing had been.
    async fn attempt(&mut self, occasion: Occasion) -> Result<(Result<(StandingTree, Manifest)>, Meanwhile)> {
        let deadline = Instant::now() + self.checkpointer.patience();
        let (background, checkpointer) = (&mut self.background, &self.checkpointer);
        // The volume may hold up both, and signals come all the same.
        let checkpoint = async {
            background.make_way(deadline).await;
            checkpointer.checkpoint_standing(deadline).await
        };
        let (outcome, meanwhile) = Meanwhile::of(&mut self.supervisor, checkpoint).await?;
        self.reports.tell(match &outcome {
            Ok((_, committed)) => told::checkpointed(committed, occasion),
            Err(error) => {
                let why = whole_story(error);
                tracing::error!(step = "checkpoint", "no checkpoint; the application goes on: {why}");
                drop(self.checkpointer.clean_up());
                told::not_checkpointed(occasion, &why)
            }
        });
        Ok((outcome, meanwhile))
    }

    /// Does what has come while a checkpoint was tried in vain.
    async fn catch_up(&mut self, meanwhile: Meanwhile) -> Result<Option<i32>> {
        meanwhile.signals.iter().for_each(|signal| self.supervisor.forward(*signal));
        match meanwhile.stop {
            Some(asked) => self.stop(asked).await,
            None => Ok(None),
        }
    }

    async fn leave_after(&self, reply: Reply, committed: &Manifest) -> i32 {
        reply.send_last(Answer::committed(committed)).await;
        self.leave().await
    }

    /// The image is durable, and the next pod may have it. It does not wait for a process that is long in going: nothing of a tree that
    /// has got its SIGKILL runs any more, and if ours came first, nobody would give the image directory back.
    async fn leave(&self) -> i32 {
        reap::end_children_within(limits::GOING_PATIENCE);
        self.give_back(None, limits::CLEAN_UP_PATIENCE).await;
        reap::end_all_children();
        self.checkpointer.workload.config.exit_code.checkpointed.into()
    }

    /// The application has ended: marks the end if it is one, ends what it left behind, and passes its status on.
    async fn end(&mut self, status: Status) -> i32 {
        self.looks.end();
        tracing::info!(step = "exit", "the application ended: {status}");
        reap::end_all_children();
        if let Some(rest) = self.rest.take() {
            let _ = timeout(limits::CLEAN_UP_PATIENCE, rest).await;
        }
        let fresh = next_start(self.phase, status) == NextStart::Fresh;
        let deadline = Instant::now() + limits::END_PATIENCE;
        if fresh {
            // What is committed after the mark would be resumed.
            self.background.give_up(deadline).await;
        } else {
            self.background.make_way(deadline).await;
        }
        self.give_back(fresh.then_some(status), limits::END_PATIENCE).await;
        status.exit_code()
    }

    /// Gives the image directory back, after marking an end if there is one to mark. A volume that hangs holds up nobody
    /// for ever.
    async fn give_back(&self, ended: Option<Status>, patience: Duration) {
        let Some(hold) = self.checkpointer.hold() else { return };
        let checkpointer = Arc::clone(&self.checkpointer);
        let done = spawn_blocking(move || {
            if let Some(status) = ended {
                mark_ended(&hold, &status.to_string());
                // There may be no next pod that would remove it.
                if let Err(error) = checkpointer.end_warm_up(&hold) {
                    tracing::warn!("what was stored beforehand is left behind: {error}");
                }
            }
            hold.release();
            kept_trial::tell(checkpointer.kept.remove());
        });
        if timeout(patience, done).await.is_err() {
            tracing::error!(
                "the volume does not answer; the image directory is not given back, nor an end marked"
            );
        }
    }
}
