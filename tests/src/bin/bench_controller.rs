//! `make bench-controller`: what the controller costs as a cluster grows, and how soon an agent hears of a change.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::cargo_bin;
use crik_tests::control_plane::{ControlPlane, PatchKind};
use crik_tests::controller::Controller;
use crik_tests::fleet::load::{Load, load};
use crik_tests::fleet::swarm::Swarm;
use crik_tests::fleet::synthetic::SyntheticApiServer;
use crik_tests::fleet::{node, usage};
use crik_tests::http::get;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

/// How many nodes, one table row each; `make bench-controller NODES="1000 5000"` chooses others.
const SIZES: [usize; 3] = [1_000, 5_000, 15_000];

/// How many polls wait, at most: one for each node, as one agent a node would send.
const POLLS: usize = 10_000;

/// Every node's status changes once in this time.
const ROUND: Duration = Duration::from_secs(10);

/// How long the processor time is watched, in each state.
const WATCHED: Duration = Duration::from_secs(20);

/// How many changes are timed.
const CHANGES: usize = 300;

/// How often each throughput is measured.
const LOADS: usize = 3;

/// The flags that a controller of that many polls is started with: all come from one address.
const FLAGS: [&str; 2] = ["--max-connections-per-peer", "11000"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, body] = arguments.as_slice()
        && word == "bare"
    {
        return bare::serve(body.clone());
    }
    let sizes: Vec<usize> = arguments.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    // Else the first row pays for the build.
    cargo_bin("crik-controller", "crik-controller", &[])?;
    println!("nodes of {} bytes of JSON\n", node::node(0).to_string().len());
    real(&sizes)?;
    synthetic(&sizes)?;
    throughput(sizes[0])
}

/// A real API server: the whole way from a kubelet's or an operator's request to the agent.
fn real(sizes: &[usize]) -> Result<()> {
    println!("real kube-apiserver and etcd, TLS; the controller's own ServiceAccount");
    println!(
        "{:>7} {:>11} {:>10} {:>10} {:>12} {:>22} {:>12}",
        "nodes", "first ready", "resident", "peak", "CPU, quiet", "PATCH sent → agent", ""
    );
    println!("{:>7} {:>11} {:>10} {:>10} {:>12} {:>22} {:>12}", "", "", "", "", "", "p50", "p99");
    let plane = ControlPlane::start()?;
    let account = plane.create_controllers_identity()?;
    let mut there = 0;
    for &size in sizes {
        create(&plane, there..size)?;
        there = there.max(size);
        let began = Instant::now();
        let controller = Controller::watching(&plane.kubeconfig_of(account)?, &FLAGS)?;
        let ready = began.elapsed();
        let quiet = processor_share(&controller, || thread::sleep(WATCHED))?;
        let (resident, peak) = (usage::resident(controller.pid())?, usage::peak(controller.pid())?);
        let latencies = changes(&controller, size, |number, cordoned| {
            let began = Instant::now();
            let patch = json!({"spec": {"unschedulable": cordoned}});
            plane.api().patch(
                &format!("/api/v1/nodes/{}", node::name(number)),
                PatchKind::Strategic,
                &patch,
            )?;
            Ok(began)
        })?;
        println!(
            "{size:>7} {:>9.2} s {:>6.1} MiB {:>6.1} MiB {:>10.2} % {:>19.1} ms {:>9.1} ms",
            ready.as_secs_f64(),
            mib(resident),
            mib(peak),
            quiet * 100.0,
            percentile(&latencies, 50),
            percentile(&latencies, 99),
        );
    }
    println!();
    Ok(())
}

/// Creates nodes, many at once.
fn create(plane: &ControlPlane, numbers: std::ops::Range<usize>) -> Result<()> {
    let (count, began) = (numbers.len(), Instant::now());
    let client = plane.api().client();
    let created = stream::iter(numbers).map(|number| {
        let client = client.clone();
        async move {
            let request = http::Request::post("/api/v1/nodes").header("content-type", "application/json");
            let request = request.body(serde_json::to_vec(&node::node(number))?)?;
            anyhow::Ok(client.request_text(request).await?)
        }
    });
    plane.api().block_on(created.buffer_unordered(32).map_ok(drop).try_collect::<()>())?;
    if count > 0 {
        eprintln!("{count} nodes were created in {:.1} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// A synthetic API server: more changes a second than a real one makes here.
fn synthetic(sizes: &[usize]) -> Result<()> {
    println!(
        "synthetic API server of the harness (list and watch over HTTP, no TLS); every status changes once in {ROUND:?}"
    );
    println!(
        "{:>7} {:>11} {:>10} {:>10} {:>12} {:>10} {:>8} {:>10} {:>10} {:>10}",
        "nodes",
        "first ready",
        "resident",
        "peak",
        "CPU, churn",
        "changes/s",
        "polls",
        "a poll",
        "p50",
        "p99"
    );
    for &size in sizes {
        let server = SyntheticApiServer::start(size)?;
        let began = Instant::now();
        let controller = Controller::watching(server.kubeconfig(), &FLAGS)?;
        let ready = began.elapsed();
        let mut beats = 0;
        let share = processor_share(&controller, || beats = churn(&server, size, WATCHED))?;
        let resident = usage::resident(controller.pid())?;
        let mut swarm = swarm(&controller, size)?;
        let polls = size.min(POLLS);
        let a_poll = usage::resident(controller.pid())?.saturating_sub(resident) as f64 / polls as f64;
        // The churn goes on while the changes that matter are timed.
        let stop = AtomicBool::new(false);
        let latencies = thread::scope(|scope| {
            let (stopped, server) = (&stop, &server);
            let churning = scope.spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    churn(server, size, Duration::from_millis(200));
                }
            });
            let timed = timed(&mut swarm, polls, |number, cordoned| Ok(server.cordon(number, cordoned)));
            stop.store(true, Ordering::Relaxed);
            churning.join().map_err(|_| anyhow::anyhow!("the churn panicked"))?;
            timed
        })?;
        println!(
            "{size:>7} {:>9.2} s {:>6.1} MiB {:>6.1} MiB {:>10.1} % {:>10.0} {polls:>8} {:>6.1} KiB {:>7.1} ms {:>7.1} ms",
            ready.as_secs_f64(),
            mib(resident),
            mib(usage::peak(controller.pid())?),
            share * 100.0,
            beats as f64 / WATCHED.as_secs_f64(),
            a_poll / 1024.0,
            percentile(&latencies, 50),
            percentile(&latencies, 99),
        );
    }
    println!(
        "\nfirst ready: from the start of the process; CPU: of one processor; p50, p99: from the change to the answer of a"
    );
    println!("waiting poll, one poll for each of so many nodes, under the same churn\n");
    Ok(())
}

/// Lets nodes post their status evenly for some time; returns how many did.
fn churn(server: &SyntheticApiServer, nodes: usize, time: Duration) -> usize {
    let (began, mut beats) = (Instant::now(), 0);
    while began.elapsed() < time {
        let due = (began.elapsed().as_secs_f64() / ROUND.as_secs_f64() * nodes as f64) as usize;
        while beats < due {
            server.heartbeat(beats * 7919 % nodes);
            beats += 1;
        }
        thread::sleep(Duration::from_millis(2));
    }
    beats
}

/// The share of one processor that the controller uses while something happens.
fn processor_share(controller: &Controller, happens: impl FnOnce()) -> Result<f64> {
    let (before, began) = (usage::processor(controller.pid())?, Instant::now());
    happens();
    let used = usage::processor(controller.pid())?.saturating_sub(before);
    Ok(used.as_secs_f64() / began.elapsed().as_secs_f64())
}

/// One waiting poll for each node, up to as many as there are to be.
fn swarm(controller: &Controller, nodes: usize) -> Result<Swarm> {
    let list = get(&controller.url("/v1/nodes"))?.json();
    let statuses = list["nodes"].as_array().context("no list")?;
    let text =
        |status: &serde_json::Value, field: &str| status[field].as_str().unwrap_or_default().to_owned();
    let versions: BTreeMap<_, _> = statuses.iter().map(|s| (text(s, "name"), text(s, "version"))).collect();
    let wanted = (0..nodes.min(POLLS)).map(node::name);
    let polls = wanted.map(|name| (name.clone(), versions.get(&name).cloned().unwrap_or_default())).collect();
    let swarm = Swarm::start(SocketAddr::from((Ipv4Addr::LOCALHOST, controller.port())), &polls)?;
    // Until the last of them has been read: a request that comes later is answered later.
    get(&controller.url("/v1/nodes/none"))?;
    thread::sleep(Duration::from_secs(1));
    Ok(swarm)
}

/// Times changes with a swarm of its own.
fn changes(
    controller: &Controller,
    nodes: usize,
    change: impl FnMut(usize, bool) -> Result<Instant>,
) -> Result<Vec<f64>> {
    let mut swarm = swarm(controller, nodes)?;
    timed(&mut swarm, nodes.min(POLLS), change)
}

/// Cordons a node and waits for its agent to hear of it, again and again; the times in milliseconds, in order.
fn timed(
    swarm: &mut Swarm,
    polls: usize,
    mut change: impl FnMut(usize, bool) -> Result<Instant>,
) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for round in 0..CHANGES {
        let number = round * 7919 % polls;
        let began = change(number, true)?;
        let answer = swarm.change(Duration::from_secs(30))?;
        ensure!(answer.name == node::name(number) && answer.text.contains("\"cordoned\""), "{}", answer.text);
        latencies.push(answer.at.saturating_duration_since(began).as_secs_f64() * 1000.0);
        change(number, false)?;
        let back = swarm.change(Duration::from_secs(30))?;
        ensure!(back.name == node::name(number) && back.text.contains("\"ready\""), "{}", back.text);
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

/// Plain requests, next to a server that does nothing.
fn throughput(nodes: usize) -> Result<()> {
    let server = SyntheticApiServer::start(nodes)?;
    let controller = Controller::watching(server.kubeconfig(), &FLAGS)?;
    let url = controller.url(&format!("/v1/nodes/{}", node::name(nodes / 2)));
    let bare = bare::Server::start(&get(&url)?.body)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..LOADS {
        ours.push(load(&url, 5)?);
        theirs.push(load(&bare.url(), 5)?);
    }
    let (ours, theirs) = (middle(ours), middle(theirs));
    println!("GET /v1/nodes/NAME by wrk, 32 connections, loopback; median of {LOADS} turns");
    println!("{:>12} {:>12} {:>10}", "", "requests/s", "p99");
    println!("{:>12} {:>12.0} {:>7.2} ms", "controller", ours.per_second, ours.p99);
    println!("{:>12} {:>12.0} {:>7.2} ms", "bare hyper", theirs.per_second, theirs.p99);
    println!("{:>12} {:>12.2} {:>10.2}", "ratio", ours.per_second / theirs.per_second, ours.p99 / theirs.p99);
    Ok(())
}

fn middle(mut loads: Vec<Load>) -> Load {
    loads.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    loads[loads.len() / 2]
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A server that answers every request with the same body, in a process of its own: the least that hyper costs.
mod bare {
    use std::convert::Infallible;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use anyhow::{Context as _, Result};
    use hyper::body::Bytes;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioIo, TokioTimer};

    pub struct Server {
        child: Child,
        address: String,
    }

    impl Server {
        pub fn start(body: &str) -> Result<Self> {
            let program = std::env::current_exe()?;
            let mut child = Command::new(program).args(["bare", body]).stdout(Stdio::piped()).spawn()?;
            let mut address = String::new();
            BufReader::new(child.stdout.take().context("no output")?).read_line(&mut address)?;
            Ok(Self { child, address: address.trim().to_owned() })
        }

        pub fn url(&self) -> String {
            format!("http://{}/", self.address)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// As many threads as the controller has.
    pub fn serve(body: String) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            println!("{}", listener.local_addr()?);
            let body = Bytes::from(body);
            loop {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let body = body.clone();
                let service = service_fn(move |_| {
                    let answer = hyper::Response::new(http_body_util::Full::new(body.clone()));
                    async move { Ok::<_, Infallible>(answer) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                server.timer(TokioTimer::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        })
    }
}
