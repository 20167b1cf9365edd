//! Evictions of pods under crik: each is asked again until there is a checkpoint, or until nothing is to be waited for. Whatever goes
//! wrong here, the eviction goes on: nothing of this may keep a node from being drained.

mod answer;
mod api;
mod others;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use crik_api::NodeState;
use crik_api::report::Step;
use futures_util::try_join;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::answer::Eviction;
use self::api::{ApiServer, Budgets, Left, Problem, Written};
use super::review::read;
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::outcomes::{Outcomes, count};
use crate::evict::{Candidate, Facts, Ledger, Limits, Reason, Standing, Verdict, decide, standing, turn};
use crate::index::Index;
use crate::workloads::{Phase, WatchedPod, Workload, Workloads};

/// What evictions are answered by.
pub struct Evicted {
    /// The nodes.
    pub index: Arc<Index>,
    /// The labelled pods.
    pub workloads: Arc<Workloads>,
    /// What comes of them is counted there.
    pub outcomes: Outcomes,
}

/// What every question needs.
pub struct Evictions {
    index: Arc<Index>,
    workloads: Arc<Workloads>,
    limits: Limits,
    api_server: ApiServer,
    ledger: Mutex<Ledger>,
    outcomes: Outcomes,
    complaint: Complaint,
    /// Where they are asked about: nothing else tells the API server from anybody who reaches the port.
    path: watch::Receiver<String>,
    /// For what is read at the same time.
    places: Semaphore,
    /// For what is asked and written at the API server at the same time.
    writing: Semaphore,
}

/// Answers whether a pod may be evicted now, if it is the API server that asks.
pub async fn evict_pod(State(evictions): State<Arc<Evictions>>, uri: Uri, body: Body) -> Response {
    if uri.path() != *evictions.path.borrow() {
        return StatusCode::NOT_FOUND.into_response();
    }
    match read(body, "an Eviction", &evictions.places).await {
        Ok(request) => Json(evictions.answer(&request).await.into_review()).into_response(),
        Err(problem) => (StatusCode::BAD_REQUEST, problem).into_response(),
    }
}

impl Evictions {
    /// What answers about these pods on these nodes, to who asks at this path.
    pub fn new(evicted: Evicted, limits: Limits, client: Client, path: watch::Receiver<String>) -> Self {
        let Evicted { index, workloads, outcomes } = evicted;
        Self {
            index,
            workloads,
            limits,
            api_server: ApiServer::new(client),
            ledger: Mutex::default(),
            outcomes,
            complaint: Complaint::default(),
            path,
            places: Semaphore::new(limits::PODS_READ_AT_ONCE),
            writing: Semaphore::new(limits::MOVES_WRITTEN_AT_ONCE),
        }
    }

    async fn answer(&self, request: &AdmissionRequest<DynamicObject>) -> AdmissionResponse {
        let response = AdmissionResponse::from(request);
        let Some(eviction) = Eviction::of(request) else {
            count(&self.outcomes, "unasked");
            return response;
        };
        let decided = timeout(limits::EVICTION_ANSWER, self.decided(&eviction)).await;
        match decided.unwrap_or(Err(Problem::Late)) {
            Ok(verdict) => {
                self.complaint.is_news(None);
                count(&self.outcomes, answer::word(verdict, &eviction));
                answer::tell(verdict, &eviction);
                answer::with(response, verdict, &eviction)
            }
            Err(problem) => {
                count(&self.outcomes, "error");
                self.complain(&eviction, &problem);
                response
            }
        }
    }

    /// # Errors
    /// It cannot be found out, or not written down.
    async fn decided(&self, eviction: &Eviction) -> Result<Verdict, Problem> {
        let known = self.workloads.get(&eviction.pod);
        let verdict = self.verdict(known.as_deref(), Left::Place, eviction);
        // Until the first list is complete it is only not known yet.
        let is_told = known.is_some() || self.workloads.is_complete();
        if is_told && (eviction.dry_run || !matches!(verdict, Verdict::Ask | Verdict::Queue)) {
            return Ok(verdict);
        }
        // A drain asks for all pods of a node at once. Those that find no place have not waited in vain, since the others come to an end.
        let begun = match self.writing.try_acquire() {
            Ok(_place) => self.begun(eviction).await,
            Err(_) => Ok(Verdict::Wait { since: Timestamp::now(), for_others: true }),
        };
        if !matches!(begun, Ok(Verdict::Ask)) {
            self.ledger().forget(&eviction.pod);
        }
        begun
    }

    /// Writes down that a move is asked for, or waits, unless the Pod as it is now, or a PodDisruptionBudget, says something else.
    ///
    /// # Errors
    /// It cannot be read or written, or others write it again and again.
    async fn begun(&self, eviction: &Eviction) -> Result<Verdict, Problem> {
        for _ in 0..limits::EVICTION_LOOKS {
            let (pod, budgets) =
                try_join!(self.api_server.pod(&eviction.pod), self.api_server.budgets(&eviction.pod))?;
            let Some(pod) = pod.filter(WatchedPod::is_labelled) else {
                return Ok(Verdict::Allow(Reason::Unknown));
            };
            let verdict = self.verdict(Some(&pod.workload), self.left(&budgets, &pod), eviction);
            let step = match verdict {
                _ if eviction.dry_run => return Ok(verdict),
                Verdict::Ask => Step::Asked,
                Verdict::Queue => Step::Waiting,
                Verdict::Allow(_) | Verdict::Wait { .. } => return Ok(verdict),
            };
            let now = Timestamp::now();
            let since = self.waits_since(&pod.workload, now).unwrap_or(now);
            let moving = answer::moving(step, since, now);
            if matches!(self.api_server.write(&pod.workload, &moving).await?, Written::Done) {
                return Ok(verdict);
            }
        }
        Err(Problem::Contended)
    }

    /// What the budgets leave for the pod, beside those that are to be evicted already.
    fn left(&self, budgets: &Budgets, pod: &WatchedPod) -> Left {
        let (moved, usual) = (self.workloads.moved(), self.limits.eviction_deadline);
        let stopped = others::stopped(&pod.workload, &moved, &mut self.ledger(), usual, Timestamp::now());
        budgets.left(pod, &stopped)
    }

    /// What is to be done as things stand; a move that is to begin takes its place from now on.
    fn verdict(&self, pod: Option<&Workload>, left: Left, eviction: &Eviction) -> Verdict {
        let Some(pod) = pod else { return Verdict::Allow(Reason::Unknown) };
        let now = Timestamp::now();
        let verdict = |has_room| decide(Some(&self.facts(pod)), has_room, left != Left::Nothing, now);
        if let needs_no_turn @ (Verdict::Allow(_) | Verdict::Wait { for_others: false, .. }) = verdict(false)
        {
            return needs_no_turn;
        }
        let moved = self.workloads.moved();
        let mut ledger = self.ledger();
        let others = others::of(&moved, &mut ledger, self.limits.eviction_deadline, now);
        let waits_since = self.waits_since(pod, now);
        let own = Candidate { pod: &pod.pod, node: &pod.node, since: waits_since.unwrap_or(now) };
        let turn = turn(&own, waits_since.is_none(), &others, &self.limits);
        let verdict = verdict(turn.is_now && left == Left::Place);
        if eviction.dry_run {
            return verdict;
        }
        ledger.hears(&pod.pod, now);
        match verdict {
            Verdict::Ask => ledger.begins(&pod.pod, &pod.node, now),
            // Not written down, since it would keep those from beginning that are behind it and of another budget.
            Verdict::Queue if left == Left::OthersFirst => {
                return Verdict::Wait { since: now, for_others: true };
            }
            Verdict::Wait { for_others: true, .. } if turn.is_near && others::is_old(pod, now) => {
                return Verdict::Queue;
            }
            _ => {}
        }
        verdict
    }

    fn facts<'a>(&self, pod: &'a Workload) -> Facts<'a> {
        let node = self.index.get(&pod.node).map(|node| node.state);
        Facts {
            is_running: pod.phase == Phase::Running,
            is_ending: pod.is_ending,
            is_protected: pod.protection.as_ref().is_some_and(|told| told.protected),
            node_goes: matches!(node, Some(NodeState::ShuttingDown | NodeState::Gone)),
            moving: pod.moving.as_ref(),
            deadline: others::deadline(pod, self.limits.eviction_deadline),
        }
    }

    /// When its first eviction came, if it waits for others.
    fn waits_since(&self, pod: &Workload, now: Timestamp) -> Option<Timestamp> {
        let deadline = others::deadline(pod, self.limits.eviction_deadline);
        match standing(pod.moving.as_ref(), deadline, now) {
            Standing::Waits(since) => Some(since),
            _ => None,
        }
    }

    fn complain(&self, eviction: &Eviction, problem: &Problem) {
        let why = problem.to_string();
        if self.complaint.is_news(Some(&why)) {
            tracing::warn!(pod = eviction.pod, "evictions are let go without a checkpoint before: {why}");
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
