//! A controller that is none: it plays no more than what an agent's reports and moves need, so that it can answer in any way. What the
//! real one does with them is its own suites' matter.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, serve};
use crik_api::report::{MOVE_HEADER, POD_HEADER, Report, What};
use crik_api::{NodeState, PodState};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use crate::wait::wait_for;

/// How it answers to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// It takes it.
    Takes,
    /// It refuses it, with this status.
    Refuses(u16),
    /// Never.
    Hangs,
}

/// Something that was sent to it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The report.
    pub report: Report,
    /// How it was answered.
    pub answered: Answers,
    /// The header Authorization.
    pub authorization: String,
    /// The pod that it was sent for, `NAMESPACE/NAME`.
    pub pod: String,
}

/// The controller, which says of each node that it is drained.
pub struct MockController {
    story: Arc<Mutex<Story>>,
    address: SocketAddr,
    /// None while it is away.
    serving: Mutex<Option<Runtime>>,
}

struct Story {
    answers: Answers,
    asked: Option<String>,
    /// Whether it tells of a move also whom it has told.
    insists: bool,
    /// The state of the pod.
    pod: PodState,
    sent: Vec<Sent>,
    /// The headers of the questions about the node.
    questions: Vec<BTreeMap<String, String>>,
}

impl MockController {
    /// Starts one that takes reports.
    ///
    /// # Errors
    /// There is no port left.
    pub fn start() -> Result<Self> {
        let story = Arc::new(Mutex::new(Story {
            answers: Answers::Takes,
            asked: None,
            insists: false,
            pod: PodState::Running,
            sent: Vec::new(),
            questions: Vec::new(),
        }));
        let (runtime, address) = listen(&story, (Ipv4Addr::UNSPECIFIED, 0).into())?;
        Ok(Self { story, address, serving: Mutex::new(Some(runtime)) })
    }

    /// Its port, on all addresses of this machine.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How it answers to reports from now on.
    pub fn answers(&self, answers: Answers) {
        lock(&self.story).answers = answers;
    }

    /// Tells of a move, as one that an eviction has asked for at this time.
    pub fn ask_to_move(&self, asked: &str) {
        lock(&self.story).asked = Some(asked.to_owned());
    }

    /// Tells of it with every answer, and at once, as if it could not be heard.
    pub fn insists(&self) {
        lock(&self.story).insists = true;
    }

    /// Says that somebody has deleted the pod.
    pub fn deletes_the_pod(&self) {
        lock(&self.story).pod = PodState::Deleted;
    }

    /// Knows the next pod, whose object has nothing of what was written on the one before.
    pub fn knows_the_next_pod(&self) {
        let mut story = lock(&self.story);
        (story.asked, story.pod) = (None, PodState::Running);
    }

    /// Cuts all connections, and refuses others.
    pub fn go_away(&self) {
        lock(&self.serving).take().into_iter().for_each(Runtime::shutdown_background);
    }

    /// Serves again, at the same address.
    ///
    /// # Errors
    /// Somebody has taken it.
    pub fn come_back(&self) -> Result<()> {
        *lock(&self.serving) = Some(listen(&self.story, self.address)?.0);
        Ok(())
    }

    /// All that was sent, in its order.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.story).sent.clone()
    }

    /// The reports that it has taken, in their order.
    pub fn taken(&self) -> Vec<Report> {
        let taken = |sent: Sent| (sent.answered == Answers::Takes).then_some(sent.report);
        self.sent().into_iter().filter_map(taken).collect()
    }

    /// The headers of all questions about the node.
    pub fn questions(&self) -> Vec<BTreeMap<String, String>> {
        lock(&self.story).questions.clone()
    }

    /// Waits until it has taken so many reports of this kind, and returns the last of them.
    ///
    /// # Errors
    /// They do not come.
    pub fn takes(&self, count: usize, what: &str, is_it: impl Fn(&What) -> bool) -> Result<Report> {
        let found = || {
            let taken = self.taken().into_iter().filter(|report| is_it(&report.what)).collect::<Vec<_>>();
            (taken.len() >= count).then(|| taken.last().cloned())?
        };
        wait_for(&format!("the report {what}"), found).with_context(|| format!("{:#?}", self.sent()))
    }
}

impl Drop for MockController {
    fn drop(&mut self) {
        self.go_away();
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

type Shared = Arc<Mutex<Story>>;

fn listen(story: &Shared, address: SocketAddr) -> Result<(Runtime, SocketAddr)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/v1/nodes/{name}", get(node))
        .route("/v1/pods/{namespace}/{name}", get(pod))
        .route("/v1/pods/{namespace}/{name}/reports", post(report))
        .with_state(Arc::clone(story));
    runtime.spawn(async move { serve(listener, app).await });
    Ok((runtime, address))
}

/// The node's state, which never changes; and the move, to whom it concerns and who has not heard of it.
async fn node(
    State(story): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let told =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
    lock(&story).questions.push(told.collect());
    let (heard, is_known) = (said(MOVE_HEADER), said(POD_HEADER).is_some());
    let news = || {
        let story = lock(&story);
        story.asked.clone().filter(|asked| is_known && (story.insists || heard.as_ref() != Some(asked)))
    };
    let wait = query.get("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok()).unwrap_or(0);
    let until = Instant::now() + Duration::from_millis(wait);
    while news().is_none() && Instant::now() < until {
        sleep(POLL).await;
    }
    let status = Json(status(&name));
    match news() {
        Some(asked) => ([(MOVE_HEADER, asked)], status).into_response(),
        None => status.into_response(),
    }
}

/// How often it looks whether there is a move.
const POLL: Duration = Duration::from_millis(5);

fn status(name: &str) -> Value {
    json!({"name": name, "state": NodeState::Draining, "version": "1-1", "reasons": [], "hints": [], "stale": false})
}

async fn pod(State(story): State<Shared>, Path((namespace, name)): Path<(String, String)>) -> Json<Value> {
    Json(json!({"namespace": namespace, "name": name, "state": lock(&story).pod}))
}

async fn report(
    State(story): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(report) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let authorization = authorization.unwrap_or_default().to_owned();
    let answered = {
        let mut story = lock(&story);
        let answered = story.answers;
        story.sent.push(Sent { report, answered, authorization, pod: format!("{namespace}/{name}") });
        answered
    };
    match answered {
        Answers::Takes => StatusCode::NO_CONTENT.into_response(),
        Answers::Refuses(status) => StatusCode::from_u16(status).unwrap_or_default().into_response(),
        Answers::Hangs => pending().await,
    }
}
