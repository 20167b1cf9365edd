//! With an API server of the harness's own, which makes more changes a second than a real one does here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crik_tests::controller::Controller;
use crik_tests::fleet::changes::{percentile, timed};
use crik_tests::fleet::synthetic::SyntheticApiServer;
use crik_tests::fleet::usage;

use crate::{CHANGES, FLAGS, POLLS, WATCHED, mib, processor_share, swarm};

/// Every node's status changes once in this time.
const ROUND: Duration = Duration::from_secs(10);

/// Prints its table.
pub fn run(sizes: &[usize]) -> Result<()> {
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
        let polls = size.min(POLLS);
        let mut swarm = swarm(&controller, polls)?;
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
            let timed = timed(&mut swarm, (polls, CHANGES), |n, cordoned| Ok(server.cordon(n, cordoned)));
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
