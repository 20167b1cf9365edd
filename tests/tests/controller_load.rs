//! The controller under all that its limits let clients hold, in a cluster of the largest kind: within the memory that the chart
//! gives it.

use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::chart::template::{of_kind, rendered};
use crik_tests::cluster::cgroups::Cgroups;
use crik_tests::control_plane::{Certificates, Pair};
use crik_tests::controller::{Controller, metric};
use crik_tests::fleet::changes::versions_of_first;
use crik_tests::fleet::own_network::in_own_network;
use crik_tests::fleet::swarm::Swarm;
use crik_tests::fleet::synthetic::SyntheticApiServer;
use crik_tests::fleet::usage;
use crik_tests::fleet::way::{Stream, Way};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

const NODES: usize = 50_000;

/// Hardly fewer than may wait by default, since many a machine lets a process open 20,000 files; and of each address a half of what
/// it may have.
const POLLS: usize = 18_000;
const OF_EACH: usize = 500;

/// A request's head may have 8 KiB, and is kept as long as its poll waits.
const PADDING: usize = 7_700;

/// Texts of all nodes that there may be at a time, and how many read each, eight of an address.
const TEXTS: usize = 4;
const READERS: usize = 16;
/// From here on clients have addresses that no poll has.
const READER: usize = 8 * 4096;

const READY: &str = "the first list of nodes is complete";

/// As GKE has it before maintenance: with what a list says of each node it is longest.
fn before_maintenance(node: &mut Value) {
    node["metadata"]["labels"]["cloud.google.com/scheduled-maintenance-time"] = json!("1795780800");
    node["metadata"]["labels"]["cloud.google.com/scheduled-maintenance-time-latest"] = json!("1795780800");
    let taint = json!({"key": "cloud.google.com/maintenance-window-started", "effect": "PreferNoSchedule"});
    node["spec"]["taints"] = json!([taint]);
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// What the chart lets a replica have where so many polls may wait, with TLS, in bytes.
fn limit() -> Result<u64> {
    let values = json!({"tls": {"secretName": "t"}, "maxWaitingPolls": POLLS});
    let objects = rendered(&values.to_string())?;
    let container = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0];
    let text = container["resources"]["limits"]["memory"].as_str().context("no limit")?;
    Ok(text.strip_suffix("Mi").context("not in MiB")?.parse::<u64>()? << 20)
}

fn told(way: &Way, name: &str) -> Result<f64> {
    metric(&runtime()?.block_on(way.get("/metrics"))?, name)
}

/// Clients that ask for something and take the first bytes of it.
async fn readers(way: &Way, from: usize, path: &str) -> Result<Vec<Box<dyn Stream>>> {
    let mut readers = Vec::new();
    for number in 0..READERS {
        let mut reader = way.ask(READER + from + number, path).await?;
        let mut line = [0; 12];
        reader.read_exact(&mut line).await?;
        ensure!(line == *b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&line));
        readers.push(reader);
    }
    Ok(readers)
}

#[test]
fn all_that_clients_may_hold_fits_into_the_charts_limit() -> Result<()> {
    in_own_network(|| {
        let directory = tempfile::tempdir()?;
        let pair = Certificates::new(directory.path())?.server("controller", &["127.0.0.1".to_owned()])?;
        let Pair { certificate, key } = &pair;
        let server = SyntheticApiServer::start_of(NODES, before_maintenance)?;
        for number in 0..NODES {
            server.cordon(number, true);
        }
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let polls = POLLS.to_string();
        let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--max-waiting-polls", &polls];
        let (group, limit) = (Cgroups::new(&format!("/crik-load-{}", process::id()))?, limit()?);
        group.limit_memory(limit)?;
        let controller = Controller::trying_to_watch(server.kubeconfig(), &flags)?;
        group.take_in(controller.pid())?;
        controller.logs(READY)?;
        let way = Way::to(controller.port()).of_each(OF_EACH).tls(&directory.path().join("ca.crt"))?;
        let swarm = hold_all(&server, &way)?;
        let (peak, resident) = (group.peak_memory()?, usage::peak(controller.pid())?);
        println!(
            "{} MiB resident at most, {} MiB with the kernel's part, of {} MiB",
            resident >> 20,
            peak >> 20,
            limit >> 20
        );
        ensure!(resident < limit && peak < limit, "{resident} and {peak} bytes of {limit}");
        drop((swarm, controller));
        Ok(())
    })
}

/// All polls, lists and streams there may be, of as many texts as there may be; and then all polls are answered at once.
fn hold_all(server: &SyntheticApiServer, way: &Way) -> Result<Swarm> {
    let runtime = runtime()?;
    let list = runtime.block_on(way.get("/v1/nodes"))?;
    let began = Instant::now();
    let mut swarm = Swarm::start(way, &versions_of_first(&list, POLLS)?, PADDING)?;
    println!("{POLLS} polls came in {:?}", began.elapsed());
    let slow = way.clone().of_each(8).buffer(4096);
    let mut held = Vec::new();
    for text in 0..TEXTS {
        server.cordon(NODES - 1 - text, false);
        held.extend(runtime.block_on(readers(&slow, 2 * text * READERS, "/v1/nodes"))?);
        held.extend(runtime.block_on(readers(&slow, (2 * text + 1) * READERS, "/v1/events"))?);
    }
    let texts = told(way, "crik_lists_held_bytes")? / list.len() as f64;
    ensure!(texts > TEXTS as f64 - 0.5, "{texts} texts are held");
    ensure!(told(way, "crik_waiting_polls")? as usize == POLLS);
    server.go_away();
    for _ in 0..POLLS {
        swarm.change(Duration::from_secs(60))?;
    }
    Ok(swarm)
}
