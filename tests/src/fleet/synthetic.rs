//! An API server of the harness's own, for more changes a second than a real one makes on a small machine.
//!
//! It speaks what a watcher of nodes needs, list and watch, over HTTP without TLS. What it shows is what the controller
//! costs, not that the controller is right: for that there is the real one.

use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::template::{Member, Template};

/// How long a watch lasts whose client does not say; a real one chooses from half an hour on (`--min-request-timeout`).
const WATCH_SECONDS: u64 = 1800;

/// How many kinds of nodes there are.
const POOLS: usize = 16;

/// Lists and watches of a fleet that it holds in memory.
pub struct SyntheticApiServer {
    fleet: Arc<Mutex<Fleet>>,
    address: SocketAddr,
    kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
    /// None while it is away.
    serving: Mutex<Option<Runtime>>,
}

struct Fleet {
    version: u64,
    /// Nodes of a pool share all but what is a node's own.
    pools: Vec<Template>,
    members: Vec<Member>,
    watchers: Vec<UnboundedSender<Bytes>>,
}

impl SyntheticApiServer {
    /// Starts one with as many nodes.
    ///
    /// # Errors
    /// There is no port or no directory.
    pub fn start(nodes: usize) -> Result<Self> {
        Self::start_of(nodes, |_| ())
    }

    /// Starts one with as many nodes, each of which is something more.
    ///
    /// # Errors
    /// There is no port or no directory.
    pub fn start_of(nodes: usize, each: impl Fn(&mut Value)) -> Result<Self> {
        let pools = (0..POOLS).map(|pool| Template::new(pool, &each)).collect();
        let members = (0..nodes).map(|number| Member { number, version: 1, cordoned: false }).collect();
        let fleet = Arc::new(Mutex::new(Fleet { version: 1, pools, members, watchers: Vec::new() }));
        let (runtime, address) = serve(&fleet, (Ipv4Addr::LOCALHOST, 0).into())?;
        let directory = tempfile::tempdir()?;
        let kubeconfig = kubeconfig(directory.path(), &format!("http://{address}"))?;
        let serving = Mutex::new(Some(runtime));
        Ok(Self { fleet, address, kubeconfig, _directory: directory, serving })
    }

    /// Cuts all connections, and refuses others.
    pub fn go_away(&self) {
        lock(&self.fleet).watchers.clear();
        if let Some(runtime) = lock(&self.serving).take() {
            runtime.shutdown_background();
        }
    }

    /// Serves again, at the same address.
    ///
    /// # Errors
    /// Somebody has taken it.
    pub fn come_back(&self) -> Result<()> {
        *lock(&self.serving) = Some(serve(&self.fleet, self.address)?.0);
        Ok(())
    }

    /// How a client finds it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A node's kubelet posts its status, which says nothing new.
    pub fn heartbeat(&self, number: usize) {
        lock(&self.fleet).change(number, |_| ());
    }

    /// A node is cordoned, or is no more; returns when that was told to the watchers.
    pub fn cordon(&self, number: usize, cordoned: bool) -> Instant {
        lock(&self.fleet).change(number, |member| member.cordoned = cordoned);
        Instant::now()
    }
}

fn serve(fleet: &Arc<Mutex<Fleet>>, address: SocketAddr) -> Result<(Runtime, SocketAddr)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/api/v1/nodes", get(nodes_of)).with_state(Arc::clone(fleet));
    runtime.spawn(async move { axum::serve(listener, app).await });
    Ok((runtime, address))
}

impl Fleet {
    fn change(&mut self, number: usize, change: impl FnOnce(&mut Member)) {
        self.version += 1;
        let Some(member) = self.members.get_mut(number) else { return };
        member.version = self.version;
        change(member);
        if self.watchers.is_empty() {
            return;
        }
        let event = event("MODIFIED", &self.json(number));
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    fn json(&self, number: usize) -> String {
        self.pools[number % POOLS].fill(&self.members[number])
    }
}

fn event(kind: &str, object: &str) -> Bytes {
    Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
}

fn kubeconfig(directory: &Path, url: &str) -> Result<PathBuf> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "synthetic",
        "clusters": [{"name": "synthetic", "cluster": {"server": url}}],
        "users": [{"name": "synthetic", "user": {}}],
        "contexts": [{"name": "synthetic", "context": {"cluster": "synthetic", "user": "synthetic"}}],
    });
    let path = directory.join("kubeconfig");
    fs::write(&path, serde_yaml::to_string(&config)?)?;
    Ok(path)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default)]
    watch: bool,
    limit: Option<usize>,
    #[serde(rename = "continue")]
    from: Option<usize>,
    resource_version: Option<String>,
    timeout_seconds: Option<u64>,
    #[serde(default)]
    send_initial_events: bool,
}

async fn nodes_of(State(fleet): State<Arc<Mutex<Fleet>>>, Query(asked): Query<Asked>) -> Response {
    if asked.watch { watch(&fleet, &asked) } else { list(&fleet, &asked) }
}

/// A page of the list, in pieces, since all of it would be hundreds of megabytes.
fn list(fleet: &Arc<Mutex<Fleet>>, asked: &Asked) -> Response {
    let (version, all) = {
        let fleet = lock(fleet);
        (fleet.version, fleet.members.len())
    };
    let from = asked.from.unwrap_or(0);
    let to = asked.limit.filter(|limit| *limit > 0).map_or(all, |limit| all.min(from + limit));
    let rest = if to < all { format!(",\"continue\":\"{to}\"") } else { String::new() };
    let head = format!(
        "{{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"{version}\"{rest}}},\"items\":["
    );
    let fleet = Arc::clone(fleet);
    let items = stream::iter(from..to).map(move |number| {
        let comma = if number > from { "," } else { "" };
        format!("{comma}{}", lock(&fleet).json(number))
    });
    let pieces = stream::iter([head]).chain(items).chain(stream::iter(["]}".to_owned()]));
    answer(Body::from_stream(pieces.map(Ok::<_, Infallible>)))
}

/// What has changed since a version, then what changes. With initial events, all there is comes first.
fn watch(shared: &Arc<Mutex<Fleet>>, asked: &Asked) -> Response {
    let since: u64 = asked.resource_version.as_deref().unwrap_or_default().parse().unwrap_or(0);
    let (sender, receiver) = unbounded_channel();
    let mut fleet = lock(shared);
    let initial = asked.send_initial_events;
    let missed = fleet.members.iter().filter(|member| initial || member.version > since);
    let kind = if initial { "ADDED" } else { "MODIFIED" };
    let mut events: Vec<Bytes> = missed.map(|member| event(kind, &fleet.json(member.number))).collect();
    if initial {
        events.push(event("BOOKMARK", &bookmark(fleet.version).to_string()));
    }
    fleet.watchers.push(sender);
    let later = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    let over = tokio::time::sleep(Duration::from_secs(asked.timeout_seconds.unwrap_or(WATCH_SECONDS)));
    answer(Body::from_stream(stream::iter(events).chain(later).take_until(over).map(Ok::<_, Infallible>)))
}

fn bookmark(version: u64) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string(),
           "annotations": {"k8s.io/initial-events-end": "true"}}})
}

fn answer(body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
