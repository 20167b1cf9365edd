//! Asks who ends the pod, beside whatever else is done meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crik_api::{PodState, PodStatus};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::base::limits;
use crate::cluster::controller::ask_all::{AskAll, Tell};
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::replica::Replica;
use crate::cluster::pod::{PodName, PodUnknown};

/// What is known of the pod: its status, or why there is none.
pub type Knowledge = Result<PodStatus, PodUnknown>;

/// A question under way. It ends when this is dropped.
pub struct Asking {
    known: watch::Receiver<Knowledge>,
    task: Option<JoinHandle<()>>,
}

impl Asking {
    /// Asks all replicas, those `at` these addresses first.
    pub fn begin(endpoint: &Arc<Endpoint>, pod: PodName, at: Vec<SocketAddr>, deadline: Instant) -> Self {
        let (tell, known) = watch::channel(Err(PodUnknown::NotYet));
        let (of, asked) = (Arc::clone(endpoint), pod.clone());
        let ask_all = AskAll::ask(endpoint, at, deadline, move |address, tell| {
            interrogate(Replica::new(&of, address), address, asked.clone(), tell)
        });
        Self { known, task: Some(tokio::spawn(listen(ask_all, pod, tell))) }
    }

    /// One that nobody answers.
    pub fn of_nobody(unknown: PodUnknown) -> Self {
        Self { known: watch::channel(Err(unknown)).1, task: None }
    }

    /// What is known now.
    pub fn known(&self) -> Knowledge {
        self.known.borrow().clone()
    }

    /// Waits until what is known is `enough`; for ever if it never is.
    pub async fn until(&self, enough: impl Fn() -> bool) {
        let mut known = self.known.clone();
        while !enough() {
            if known.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for an answer, but no longer than this.
    pub async fn answer(&self, patience: Duration) {
        let answered = || !self.known().is_err_and(|unknown| unknown.may_pass());
        let _ = timeout(patience, self.until(answered)).await;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

/// Keeps the best of what is said until the deadline.
async fn listen(mut ask_all: AskAll<PodStatus>, pod: PodName, known: watch::Sender<Knowledge>) {
    while let Some((_, said)) = ask_all.next().await {
        let said = said.map_err(PodUnknown::from).and_then(|status| of_our_pod(status, &pod));
        known.send_if_modified(|before| {
            let better = rank(&said) >= rank(before);
            if better {
                *before = said;
            }
            better
        });
    }
    // Who waits for more waits for the deadline, which is somebody else's.
    std::future::pending().await
}

/// Asks one replica again and again, since whoever ends a pod may say so a little later than the SIGTERM comes. One that does
/// not tell of pods never will.
async fn interrogate(mut replica: Replica, address: SocketAddr, pod: PodName, tell: Tell<PodStatus>) {
    let mut patience = limits::DECISIVE_ANSWER;
    loop {
        let answer = replica.ask_pod(&pod.namespace, &pod.name, patience).await.map_err(Arc::new);
        let unknown = answer.as_ref().err().map(|error| PodUnknown::from(Arc::clone(error)));
        if tell.send((Some(address), answer)).is_err() || unknown.as_ref().is_some_and(|why| !why.may_pass())
        {
            return;
        }
        if unknown.is_some() {
            patience *= 2;
        }
        sleep(limits::POD_AGAIN).await;
    }
}

fn of_our_pod(status: PodStatus, pod: &PodName) -> Knowledge {
    let other = |own: &String| !status.uid.is_empty() && *own != status.uid;
    if pod.uid.as_ref().is_some_and(other) { Err(PodUnknown::OtherPod) } else { Ok(status) }
}

/// That a pod is ended cannot be taken back, so who has not heard of it knows less.
fn rank(known: &Knowledge) -> u8 {
    match known {
        Err(unknown) if unknown.may_pass() => 0,
        Err(_) => 1,
        Ok(status) => match status.state {
            PodState::Unknown => 2,
            PodState::Running => 3,
            PodState::Deleted | PodState::Disrupted => 4,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: PodState, uid: &str) -> PodStatus {
        let (namespace, name, uid) = ("ns".to_owned(), "job-0".to_owned(), uid.to_owned());
        PodStatus {
            namespace,
            name,
            uid,
            state,
            reasons: Vec::new(),
            deletion_grace_seconds: None,
            deletion_grace_used_seconds: None,
        }
    }

    #[test]
    fn an_end_is_not_taken_back_by_who_has_not_heard_of_it() {
        let ascending = [
            Err(PodUnknown::NotYet),
            Err(PodUnknown::OtherPod),
            Ok(status(PodState::Unknown, "u")),
            Ok(status(PodState::Running, "u")),
            Ok(status(PodState::Deleted, "u")),
        ];
        assert!(ascending.windows(2).all(|pair| rank(&pair[0]) < rank(&pair[1])));
        assert_eq!(rank(&ascending[4]), rank(&Ok(status(PodState::Disrupted, "u"))));
    }

    #[test]
    fn another_pod_of_the_same_name_says_nothing_of_this_one() {
        let pod = |uid: Option<&str>| PodName {
            namespace: "ns".to_owned(),
            name: "job-0".to_owned(),
            uid: uid.map(str::to_owned),
        };
        let told = || status(PodState::Running, "u1");
        assert!(matches!(of_our_pod(told(), &pod(Some("u2"))), Err(PodUnknown::OtherPod)));
        for uid in [Some("u1"), None] {
            assert!(of_our_pod(told(), &pod(uid)).is_ok());
        }
        assert!(of_our_pod(status(PodState::Running, ""), &pod(Some("u1"))).is_ok());
    }
}
