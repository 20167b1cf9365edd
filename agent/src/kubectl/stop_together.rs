//! Does the same in many pods at the same time, and stops their programs together.

use std::fmt::{self, Display, Formatter};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;
use std::time::Instant;

use anyhow::{Context as _, Error, Result};

use super::client::Client;
use super::in_pod::InPod;
use super::movable::NotMovable;
use super::pod::Pod;
use super::progress::Progress;
use super::stop::{self, Committed, NoCheckpoint};
use crate::base::limits;
use crate::base::panics::locked;
use crate::base::side_by_side::in_threads;

/// Does `work` in each pod, in so many at the same time. Returns what came of it, by the pod's name, in no order.
pub fn in_each<T: Send>(
    client: &Client,
    pods: &[Pod],
    at_once: u16,
    work: impl Fn(&Pod, &InPod<'_>) -> Result<T> + Sync,
) -> Vec<(String, Result<T>)> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let some = || {
        while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
            let came = InPod::of(client, pod, None).and_then(|crik| work(pod, &crik));
            locked(&done).push((pod.name().to_owned(), came));
        }
    };
    scope(|scope| in_threads(scope, ("crik-pods", usize::from(at_once).min(pods.len())), some));
    std::mem::take(&mut *locked(&done))
}

/// A pod whose program cannot be stopped.
#[derive(Debug)]
pub struct Failed {
    /// Its name.
    pub pod: String,
    /// Why.
    pub why: Error,
}

impl Failed {
    /// Whether it is known that it has no checkpoint of now and can have none, so that somebody may choose to lose what it has done. Where
    /// nobody answers, or a right is missing, it may have one, and another call may help.
    pub fn can_be_given_up(&self) -> bool {
        let is_not_protected =
            matches!(self.why.downcast_ref::<NotMovable>(), Some(NotMovable::NotProtected { .. }));
        is_not_protected || self.why.is::<NoCheckpoint>()
    }
}

impl Display for Failed {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let why = format!("{:#}", self.why);
        // Some say it themselves.
        if why.starts_with(&self.pod) { why.fmt(formatter) } else { write!(formatter, "{}: {why}", self.pod) }
    }
}

/// Programs that stand still, and until when.
#[derive(Debug, Default)]
pub struct Stopped {
    /// When the first of them goes on by itself.
    until: Option<Instant>,
    /// The others.
    pub failed: Vec<Failed>,
}

impl Stopped {
    /// A client that waits for answers as long as all of them stand still, and may still be told to end while they do.
    ///
    /// # Errors
    /// The first may go on before that.
    pub fn in_time(&self, client: &Client) -> Result<Client> {
        let until = self.until.unwrap_or_else(|| Instant::now() + limits::STAY_STOPPED);
        let end = until.checked_sub(limits::UNTIL_ALL_END);
        end.and_then(|end| client.until(end)).context(
            "the checkpoints took too long together, and the first program goes on by itself: nothing is changed. Take more of them \
             --at-once, or use a faster volume",
        )
    }
}

/// Has a checkpoint taken of each, after which its program stands still.
pub fn stop_all(client: &Client, pods: &[Pod], at_once: u16, progress: &Progress) -> Stopped {
    progress.waits(&format!("the checkpoints of {} pods", pods.len()));
    let all = in_each(client, pods, at_once, |pod, crik| {
        let committed = stop::stop(crik)?;
        progress.done("checkpoint", &format!("{}: {}", pod.name(), Committed::told(committed)));
        Ok(committed.stands_still_until())
    });
    let mut stopped = Stopped::default();
    for (pod, came) in all {
        match came {
            Ok(until) => stopped.until = Some(stopped.until.map_or(until, |first| first.min(until))),
            Err(why) => stopped.failed.push(Failed { pod, why }),
        }
    }
    stopped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn programs_that_may_go_on_before_they_are_ended_are_left_alone() {
        let left = |left: Duration| Stopped { until: Some(Instant::now() + left), failed: Vec::new() };
        let client = Client::of("kubectl");
        left(limits::UNTIL_ALL_END * 2).in_time(&client).unwrap();
        Stopped::default().in_time(&client).unwrap();
        let why = left(limits::UNTIL_ALL_END / 2).in_time(&client).unwrap_err().to_string();
        assert!(why.contains("nothing is changed") && why.contains("--at-once"), "{why}");
    }
}
