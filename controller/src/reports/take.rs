//! Takes reports, each once.

use std::sync::Arc;
use std::time::Instant;

use crik_api::report::Report;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::api_server::ApiServer;
use super::change::{change, is_repeat};
use super::counted::Counted;
use super::error::NotTaken;
use super::of::Of;
use super::patch::patch;
use super::plausible::plausible;
use crate::base::buckets::Buckets;
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::outcomes::count;
use crate::workloads::{Workload, Workloads};

/// What came of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It stands on the pod.
    Now,
    /// It did before.
    Before,
}

/// Takes reports.
pub struct Reports {
    api_server: ApiServer,
    /// The pods that are watched, if any are.
    workloads: Option<Arc<Workloads>>,
    at_once: Semaphore,
    /// By the pod's uid.
    for_each: Buckets<String>,
    counted: Counted,
    /// Why they cannot be taken, as long as it is so.
    complaint: Complaint,
}

impl Reports {
    /// Takes them by this client, and counts there. `instance` names this replica.
    pub fn new(
        client: Client,
        workloads: Option<Arc<Workloads>>,
        instance: String,
        counted: Counted,
    ) -> Self {
        let at_once = Semaphore::new(limits::REPORTS_AT_ONCE);
        let for_each = Buckets::new(limits::REPORTS_PER_POD, limits::REPORTS_PER_POD_SECOND);
        let api_server = ApiServer::new(client, instance, counted.events.clone());
        Self { api_server, workloads, at_once, for_each, counted, complaint: Complaint::default() }
    }

    /// Whether this pod may tell something now.
    ///
    /// # Errors
    /// It has told too much.
    pub fn admit(&self, of: &Of) -> Result<(), NotTaken> {
        let may = self.for_each.take(of.uid.clone(), Instant::now());
        may.then_some(()).ok_or(NotTaken::TooOften).inspect_err(|error| self.count(Err(error)))
    }

    /// Takes a report of this pod. Not to be given up half-way: who counts it is the one who has written it.
    ///
    /// # Errors
    /// It is not taken, or not wholly; the same report again does the rest.
    pub async fn take(&self, of: &Of, report: Report) -> Result<Taken, NotTaken> {
        let report = plausible(report);
        let done = self.in_time(of, &report).await;
        self.count(done.as_ref().copied());
        self.complain(done.as_ref().err());
        done
    }

    async fn in_time(&self, of: &Of, report: &Report) -> Result<Taken, NotTaken> {
        let place = timeout(limits::REPORT_TIMEOUT, self.at_once.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(NotTaken::Busy) };
        let done = timeout(limits::REPORT_TIMEOUT, self.tries(of, report)).await;
        let late = |_| Err(NotTaken::Unavailable("the API server has not answered in time".to_owned()));
        done.unwrap_or_else(late)
    }

    async fn tries(&self, of: &Of, report: &Report) -> Result<Taken, NotTaken> {
        let mut known = self.known(of, report);
        for _ in 0..limits::REPORT_TRIES {
            let pod = match known.take() {
                Some(pod) => pod,
                None => Arc::new(self.api_server.read(of).await?),
            };
            if let Some(taken) = self.step(of, report, &pod).await? {
                return Ok(taken);
            }
        }
        Err(NotTaken::Unavailable("the pod is changed all the time".to_owned()))
    }

    /// None if the pod was changed meanwhile.
    async fn step(&self, of: &Of, report: &Report, pod: &Workload) -> Result<Option<Taken>, NotTaken> {
        let now = Timestamp::now();
        if is_repeat(report.id, pod.last_report, now) {
            return Ok(Some(Taken::Before));
        }
        let change = change(pod, report, now);
        self.api_server.tell(of, report, &change).await?;
        let written = self.api_server.write(of, &patch(pod, &change)).await?;
        if written {
            self.counted.count(&report.what);
        }
        Ok(written.then_some(Taken::Now))
    }

    /// The pod as the watch has told, if that is what the report follows: agents send one after the other.
    fn known(&self, of: &Of, report: &Report) -> Option<Arc<Workload>> {
        let pod = self.workloads.as_ref()?.get(&format!("{}/{}", of.namespace, of.name))?;
        let last = pod.last_report?;
        let follows = last.began == report.id.began && last.number.checked_add(1) == Some(report.id.number);
        (follows && *pod.uid == of.uid).then_some(pod)
    }

    fn count(&self, done: Result<Taken, &NotTaken>) {
        let result = match done {
            Ok(Taken::Now) => "taken",
            Ok(Taken::Before) => "repeated",
            Err(error) => error.result(),
        };
        count(&self.counted.reports, result);
    }

    /// That a pod is gone is nobody's fault.
    fn complain(&self, error: Option<&NotTaken>) {
        let why = error.filter(|error| !matches!(error, NotTaken::Gone { .. })).map(ToString::to_string);
        match &why {
            _ if !self.complaint.is_news(why.as_deref()) => {}
            Some(why) => tracing::warn!("agents tell their reports again: {why}"),
            None => tracing::info!("reports can be taken again"),
        }
    }
}
