//! Does the same in many pods at the same time, and stops their programs together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::client::Client;
use super::in_pod::InPod;
use super::pod::Pod;
use super::progress::Progress;
use super::stop::{self, Committed};
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

/// Programs that stand still, and until when.
#[derive(Debug, Default)]
pub struct Stopped {
    /// When the first of them goes on by itself.
    until: Option<Instant>,
    /// Why the others do not, each with its pod.
    pub failed: Vec<String>,
}

impl Stopped {
    /// Checks that all of them stand still until their pods are told to end.
    ///
    /// # Errors
    /// The first may go on before that.
    pub fn in_time(&self) -> Result<()> {
        let in_time = self.until.is_none_or(|until| Instant::now() + limits::UNTIL_ALL_END <= until);
        ensure!(
            in_time,
            "the checkpoints took too long together, and the first program goes on by itself: nothing is changed. Take more of them \
             --at-once, or use a faster volume"
        );
        Ok(())
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
            Err(error) => stopped.failed.push(format!("{pod}: {error:#}")),
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
        left(limits::UNTIL_ALL_END * 2).in_time().unwrap();
        Stopped::default().in_time().unwrap();
        let why = left(limits::UNTIL_ALL_END / 2).in_time().unwrap_err().to_string();
        assert!(why.contains("nothing is changed") && why.contains("--at-once"), "{why}");
    }
}
