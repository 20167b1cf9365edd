//! With a real API server: the whole way from a kubelet's or an operator's request to the agent.

use std::ops::Range;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use crik_tests::control_plane::{ControlPlane, PatchKind};
use crik_tests::controller::Controller;
use crik_tests::fleet::changes::{percentile, timed};
use crik_tests::fleet::{node, usage};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use crate::{CHANGES, FLAGS, POLLS, WATCHED, mib, processor_share, swarm};

/// More nodes than this are more than its etcd takes on a small machine.
const MOST: usize = 15_000;

/// Prints its table.
pub fn run(sizes: &[usize]) -> Result<()> {
    println!("real kube-apiserver and etcd, TLS; the controller's own ServiceAccount");
    println!(
        "{:>7} {:>11} {:>10} {:>10} {:>12} {:>22} {:>12}",
        "nodes", "first ready", "resident", "peak", "CPU, quiet", "PATCH sent → agent", ""
    );
    println!("{:>7} {:>11} {:>10} {:>10} {:>12} {:>22} {:>12}", "", "", "", "", "", "p50", "p99");
    let plane = ControlPlane::start()?;
    let account = plane.create_controllers_identity()?;
    let mut there = 0;
    for &size in sizes.iter().filter(|size| **size <= MOST) {
        create(&plane, there..size)?;
        there = there.max(size);
        let began = Instant::now();
        let controller = Controller::watching(&plane.kubeconfig_of(account)?, &FLAGS)?;
        let ready = began.elapsed();
        let quiet = processor_share(&controller, || thread::sleep(WATCHED))?;
        let (resident, peak) = (usage::resident(controller.pid())?, usage::peak(controller.pid())?);
        let polls = size.min(POLLS);
        let mut swarm = swarm(&controller, polls)?;
        let latencies = timed(&mut swarm, (polls, CHANGES), |number, cordoned| {
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
fn create(plane: &ControlPlane, numbers: Range<usize>) -> Result<()> {
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
