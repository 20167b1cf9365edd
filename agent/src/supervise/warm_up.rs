//! At the first sign that the node may go away what the program has in memory is stored, while it runs.

use std::sync::Arc;
use std::thread;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::base::fault_points::hurried;
use crate::base::limits;
use crate::base::panics::contained_now;
use crate::base::step_thread::own_descriptors;
use crate::base::{memory, units};
use crate::checkpoint::checkpointer::Checkpointer;
use crate::cluster::node::Node;
use crate::cluster::node::first_sign::{self, FirstSign, Sign};
use crate::cluster::node::knowledge::Knowledge;
use crate::config::WarmUp;

/// Waits for the signs of this node, beside the program.
pub fn keep(checkpointer: &Arc<Checkpointer>, node: Option<&Node>) {
    let is_wanted = checkpointer.workload.config.warm_up == WarmUp::Notice;
    let Some(node) = node.filter(|_| is_wanted) else { return };
    let signs = Signs { checkpointer: Arc::clone(checkpointer), news: node.news() };
    tokio::spawn(signs.heed());
}

/// What is heard of the node, and what is done about it, one thing after the other.
struct Signs {
    checkpointer: Arc<Checkpointer>,
    news: watch::Receiver<Knowledge>,
}

impl Signs {
    async fn heed(mut self) {
        let mut first_sign = FirstSign::default();
        loop {
            let sign = first_sign.hear(&self.news.borrow_and_update());
            match sign {
                Sign::Comes(why) => self.store(why).await,
                Sign::Over => self.give_back().await,
                Sign::None => {}
            }
            if self.news.changed().await.is_err() {
                return;
            }
        }
    }

    async fn store(&self, why: String) {
        if !self.is_of_use().await {
            return;
        }
        let checkpointer = Arc::clone(&self.checkpointer);
        let mut done = beside(move || store(&checkpointer, &why));
        let mut news = self.news.clone();
        loop {
            tokio::select! {
                _ = &mut done => return,
                Ok(()) = news.changed() => if first_sign::is_well(&news.borrow_and_update()) {
                    self.checkpointer.warm_up.cut_short();
                },
            }
        }
    }

    /// As soon as the volume was measured, which may be after the first sign.
    async fn is_of_use(&self) -> bool {
        let until = Instant::now() + limits::WARM_UP_PATIENCE;
        while self.checkpointer.can_warm_up().is_none() && Instant::now() < until {
            sleep(limits::WARM_UP_POLL).await;
        }
        self.checkpointer.can_warm_up() == Some(true)
    }

    /// The next checkpoint may be a long time away, and what it could use of this would be little.
    async fn give_back(&self) {
        if self.stays().await {
            let checkpointer = Arc::clone(&self.checkpointer);
            let _ = beside(move || give_back(&checkpointer)).await;
        }
    }

    /// Whether the node is well for a while.
    async fn stays(&self) -> bool {
        let (mut news, until) = (self.news.clone(), Instant::now() + hurried(limits::WARM_UP_REGRET));
        while let Ok(Ok(())) = timeout_at(until, news.changed()).await {
            if !first_sign::is_well(&news.borrow_and_update()) {
                return false;
            }
        }
        true
    }
}

/// In a thread of its own, which the volume may hang, and which has the processors when nobody else wants them.
fn beside(work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
    let (tell, done) = oneshot::channel();
    let begun = thread::Builder::new().name("warm-up".to_owned()).spawn(move || {
        own_descriptors();
        be_nice();
        if let Err(defect) = contained_now(work) {
            tracing::error!(step = "warm-up", "{defect}");
        }
        let _ = tell.send(());
    });
    if let Err(error) = begun {
        tracing::warn!(step = "warm-up", "nothing is stored beforehand: {error}");
    }
    done
}

/// This thread, and those that it makes (setpriority(2), "C library/kernel differences").
fn be_nice() {
    // SAFETY: a system call without pointers.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, limits::WARM_UP_NICENESS) };
}

fn store(checkpointer: &Checkpointer, why: &str) {
    let rate = units::bytes(checkpointer.workload.config.warm_up_rate);
    tracing::info!(
        step = "warm-up",
        "{why}: what the program has in memory is stored beforehand, {rate}/s at most"
    );
    match checkpointer.warm_up() {
        Ok(Some(stored)) => {
            let (read, new) = (units::bytes(stored.read), units::bytes(stored.new));
            tracing::info!(
                step = "warm-up",
                read = stored.read,
                new = stored.new,
                "{read} of memory are stored beforehand, for which {new} were written, in {:.1?}",
                stored.took
            );
        }
        Ok(None) => tracing::info!(step = "warm-up", "not all of it was stored before something else came"),
        Err(error) => tracing::warn!(step = "warm-up", "not all of it is stored beforehand: {error}"),
    }
    sweep(checkpointer);
    memory::give_back();
}

fn give_back(checkpointer: &Checkpointer) {
    if checkpointer.warm_up.forget() {
        tracing::info!(step = "warm-up", "the node stays; what was stored beforehand is given up");
    }
    sweep(checkpointer);
}

/// Not beside a checkpoint, which has no time to lose.
fn sweep(checkpointer: &Checkpointer) {
    if checkpointer.warm_up.is_held_up() {
        return;
    }
    let swept = checkpointer.hold().map_or(Ok(()), |hold| checkpointer.sweep_warmed(&hold));
    if let Err(error) = swept {
        tracing::warn!(
            step = "warm-up",
            "what was stored beforehand is left behind until a later sweep: {error}"
        );
    }
}
