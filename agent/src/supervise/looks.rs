//! Looks at the program as long as it runs: each finding is one line of the log when it comes and when it goes, and so is the verdict,
//! which is also kept on the volume.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crik_api::report::What;
use crik_store::generation::clock_facts::Installed;
use crik_store::image_dir::retention;
use crik_store::image_dir::verdict::Verdict;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::base::panics::locked;
use crate::base::{limits, memory};
use crate::carry::clocks::facts;
use crate::carry::files::{CarryError, beginning};
use crate::checkpoint::checkpointer::Checkpointer;
use crate::cluster::node::Node;
use crate::doctor::clocks::GoOn;
use crate::doctor::finding::{Effect, Finding, Severity};
use crate::doctor::protection::{Look, News, Protection};
use crate::doctor::{file_numbers, tree, volume};
use crate::supervise::known::Known;
use crate::supervise::reports::{Reports, told};
use crate::tree::criu;
use crate::tree::process::snapshot::Snapshot;

/// What is known of one program.
pub struct Looks {
    checkpointer: Arc<Checkpointer>,
    /// Whose controller is told, too.
    node: Option<Arc<Node>>,
    reports: Reports,
    /// What was reported last.
    reported: Mutex<Option<What>>,
    protection: Mutex<Protection>,
    /// The verdict that was kept last; who writes has it.
    kept: Mutex<Option<Verdict>>,
    /// Nothing is told any more.
    over: AtomicBool,
    /// Until when the program stands still after a checkpoint, if it does.
    stands_still: watch::Sender<Option<Instant>>,
}

impl Looks {
    /// At the program of `checkpointer`, whose image directory this is.
    pub fn new(
        checkpointer: &Arc<Checkpointer>,
        image_dir: Option<&Path>,
        node: Option<Arc<Node>>,
        reports: Reports,
    ) -> Arc<Self> {
        let place = image_dir.map_or_else(String::new, |path| format!("imageDir {}", path.display()));
        Arc::new(Self {
            checkpointer: Arc::clone(checkpointer),
            node,
            reports,
            reported: Mutex::default(),
            protection: Mutex::new(Protection::new(place)),
            kept: Mutex::default(),
            over: AtomicBool::new(false),
            stands_still: watch::Sender::new(None),
        })
    }

    /// Looks at the tree when its program has made what it needs, and ever more seldom, down to once a minute; and at the room on the volume, which
    /// costs more, ever more seldom.
    pub fn go_on(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(self).at_the_tree());
        tokio::spawn(Arc::clone(self).at_the_room());
    }

    /// The program is told to stop, or has ended.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Until when the program stands still after a checkpoint; none once it goes on.
    pub fn stands_still_until(&self, until: Option<Instant>) {
        let _ = self.stands_still.send_replace(until);
    }

    /// What stands in the way of a checkpoint, as far as that was told.
    pub fn obstacle(&self) -> Option<String> {
        if self.checkpointer.workload.config.image_dir.is_none() {
            return Some("no imageDir is configured".to_owned());
        }
        let told = locked(&self.protection).told();
        told.filter(|verdict| !verdict.is_protected()).map(|verdict| verdict.reasons.join("; "))
    }

    /// Who tells what is known, for others than the log.
    pub fn teller(self: &Arc<Self>) -> Arc<dyn Fn() -> Known + Send + Sync> {
        let this = Arc::clone(self);
        Arc::new(move || this.known())
    }

    fn known(&self) -> Known {
        let (running, config) = (&self.checkpointer.running, &self.checkpointer.workload.config);
        let protection = locked(&self.protection);
        let library = running.library.iter().flat_map(Installed::paths);
        Known {
            agent: std::process::id().cast_signed(),
            root: running.root,
            own: [running.init.clone()].into_iter().chain(library).collect(),
            library: running.library.clone(),
            image_dir: config.image_dir.clone(),
            since: beginning::since(),
            verdict: protection.told(),
            findings: protection.lasting(),
            bytes_per_second: self.checkpointer.speed().map(|speed| speed as u64),
            stands_still_seconds: self
                .stands_still
                .borrow()
                .map(|until| until.saturating_duration_since(Instant::now()).as_secs()),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A look of its own for a checkpoint that is about to be taken.
    pub async fn before_checkpoint(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let _ = timeout(limits::TREE_LOOK_PATIENCE, spawn_blocking(move || this.look_at_tree())).await;
    }

    async fn at_the_tree(self: Arc<Self>) {
        let mut pause = Pause::default();
        while !self.is_over() {
            sleep(pause.now).await;
            goes_on(&self.stands_still).await;
            let this = Arc::clone(&self);
            pause = pause.after(spawn_blocking(move || this.look_at_tree()).await.unwrap_or(false));
        }
    }

    async fn at_the_room(self: Arc<Self>) {
        let (mut pause, longest) = limits::ROOM_PAUSES;
        while !self.is_over() {
            sleep(pause).await;
            pause = longest.min(pause * 2);
            let this = Arc::clone(&self);
            let _ = spawn_blocking(move || this.look_at_room()).await;
        }
    }

    /// Whether it is to be looked again soon. Blocks.
    fn look_at_tree(&self) -> bool {
        let root = self.checkpointer.running.root;
        let tree = Snapshot::take().tree(root);
        let has_ended = tree.0.iter().all(|process| process.pid != root || process.state == 'Z');
        // A tree that CRIU has in hand is traced, by CRIU; and one that stands still does nothing new.
        if has_ended || criu::is_called() || self.stands_still.borrow().is_some() {
            return !has_ended;
        }
        // The look at the room tells of what cannot go along.
        let Ok(carrying) = self.checkpointer.carrying() else { return false };
        let goes_along = |path: &Path| carrying.takes(path);
        let mut found = tree::findings(&tree, root, &goes_along, &self.checkpointer.workload.config);
        let others = facts::others(&tree, root, self.checkpointer.running.library.as_ref());
        found.extend(file_numbers::finding(others, &goes_along));
        if self.checkpointer.hold().is_some_and(|hold| hold.is_lost()) {
            found.push(Finding::no_checkpoint("another pod has taken the image directory over; end this pod, since the other one goes on with the work"));
        }
        let is_unsure = criu::is_called() || self.note(Look::Tree, found).is_unsure;
        memory::give_back();
        is_unsure
    }

    /// At what would go along, and whether there is room for it.
    fn look_at_room(&self) {
        let (bytes, obstacle) = match self.checkpointer.would_write() {
            Ok(bytes) => (bytes, None),
            Err(error) => (None, Some(carried(&error))),
        };
        self.note(Look::Carried, obstacle.into_iter().collect());
        let found = bytes.and_then(|bytes| self.lacking_room(bytes));
        found.into_iter().for_each(|found| drop(self.note(Look::Room, found)));
        memory::give_back();
    }

    /// None if that cannot be said.
    fn lacking_room(&self, bytes: u64) -> Option<Vec<Finding>> {
        let hold = self.checkpointer.hold()?;
        // Something may be removed meanwhile; what lasts is told at a checkpoint.
        let lacking = retention::lacking(&hold, bytes, self.checkpointer.past()).ok()?;
        let keep = self.checkpointer.workload.config.keep_generations;
        let told = lacking.map(|why| volume::no_room(&why, hold.dir().root(), keep as u64));
        Some(told.into_iter().collect())
    }

    /// Takes down by what the clocks go on, and what is to be said of it.
    pub fn note_clocks(&self, clocks: &GoOn) {
        if let Some(by) = clocks.by() {
            tracing::info!(step = "check", "clocks will go on elsewhere, {by}");
            locked(&self.protection).goes_on(&format!("clocks go on {by}"));
        }
        self.note(Look::Clocks, clocks.finding().into_iter().collect());
    }

    /// Takes down what was found, and says what of it is news. Blocks.
    pub fn note(&self, look: Look, found: Vec<Finding>) -> News {
        if self.is_over() {
            return News::default();
        }
        let (news, verdict) = {
            let mut protection = locked(&self.protection);
            (protection.note(look, found), protection.news())
        };
        news.found.iter().for_each(|found| tracing::warn!(step = "check", "{}", found.line()));
        news.gone.iter().for_each(tell_gone);
        verdict.iter().for_each(|verdict| {
            tell(verdict);
            self.keep(verdict);
            self.tell_controller(verdict);
        });
        news
    }

    /// Says that nothing was looked for, since checkpoints have no place to go to.
    pub fn tell_nowhere(&self, verdict: &Verdict) {
        tell(verdict);
        self.report(verdict);
    }

    fn tell_controller(&self, verdict: &Verdict) {
        let protection = match verdict.is_protected() {
            true => crik_api::Protection::Protected,
            false => crik_api::Protection::NotProtected,
        };
        self.node.iter().for_each(|node| node.tell(protection));
        self.report(verdict);
    }

    /// A verdict that differs in its warnings alone is none that a report could tell from the last one.
    fn report(&self, verdict: &Verdict) {
        let what = told::examined(verdict);
        let before = locked(&self.reported).replace(what.clone());
        if before.as_ref() != Some(&what) {
            self.reports.tell(what);
        }
    }

    /// For who looks at the volume. The log has it in any case.
    fn keep(&self, verdict: &Verdict) {
        let mut kept = locked(&self.kept);
        let Some(hold) = self.checkpointer.hold().filter(|_| kept.as_ref() != Some(verdict)) else { return };
        if let Err(error) = hold.keep_verdict(verdict) {
            tracing::debug!(step = "check", "crik list cannot be told: {error}");
        }
        *kept = Some(verdict.clone());
    }
}

/// What keeps the container's files from going along.
pub fn carried(error: &CarryError) -> Finding {
    Finding::no_checkpoint(error).by(error.edit())
}

/// How long until the next look at the tree.
#[derive(Debug, Clone, Copy)]
struct Pause {
    now: Duration,
    /// As long as nothing is new.
    regular: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { now: limits::TREE_LOOK_AFTER, regular: limits::TREE_LOOK_AFTER }
    }
}

impl Pause {
    /// After a look that is sure of what it has seen, or not.
    fn after(self, is_unsure: bool) -> Self {
        match is_unsure {
            true => Self { now: limits::TREE_LOOK_AGAIN, ..self },
            false => {
                let regular = limits::TREE_LOOK_PAUSE.min(self.regular * 2);
                Self { now: regular, regular }
            }
        }
    }
}

/// Waits as long as the program stands still.
async fn goes_on(stands_still: &watch::Sender<Option<Instant>>) {
    let mut stands_still = stands_still.subscribe();
    drop(stands_still.wait_for(Option::is_none).await);
}

/// Says whether the program is protected.
fn tell(verdict: &Verdict) {
    if verdict.is_protected() {
        tracing::info!(step = "check", "{verdict}");
    } else {
        tracing::warn!(step = "check", "{verdict}");
    }
}

fn tell_gone(gone: &Finding) {
    match gone.effect {
        Effect::NoRoom => tracing::info!(step = "check", "the volume has room for a checkpoint again"),
        _ if gone.severity == Severity::NotProtected => {
            tracing::info!(step = "check", "no longer in the way of a checkpoint: {}", gone.what);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_looked_at_soon_after_a_start_then_once_a_minute_and_again_at_once_when_something_is_new() {
        let sure = |pause: &Pause| Some(pause.after(false));
        let looks: Vec<Pause> = std::iter::successors(Some(Pause::default()), sure).take(8).collect();
        let seconds: Vec<u64> = looks.iter().map(|pause| pause.now.as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60, 60]);
        let unsure = looks.last().unwrap().after(true);
        assert_eq!((unsure.now.as_secs(), unsure.after(false).now.as_secs()), (1, 60));
    }

    #[tokio::test]
    async fn a_program_that_stands_still_is_looked_at_when_it_goes_on_and_not_before() {
        let stands_still = watch::Sender::new(Some(Instant::now()));
        let waiting = goes_on(&stands_still);
        tokio::pin!(waiting);
        let moment = Duration::from_millis(20);
        assert!(timeout(moment, &mut waiting).await.is_err());
        let _ = stands_still.send_replace(None);
        waiting.await;
        goes_on(&stands_still).await;
    }
}
