//! `kubectl crik suspend`: check → stop all together → scale to 0 → wait until all are gone.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};

use super::args::Suspend;
use super::client::Client;
use super::movable;
use super::pod::Pod;
use super::progress::Progress;
use super::stop_together::{in_each, stop_all};
use super::wait::{Look, wait_for};
use super::workload::Workload;
use super::workload_name::Kind;

/// Suspends a workload. Nothing of it is changed before all checkpoints are durable; until then a failure leaves its programs running.
///
/// # Errors
/// A checkpoint cannot be taken, or the pods do not end in time.
pub fn suspend(client: &Client, args: &Suspend) -> Result<()> {
    let workload = Workload::get(client, &args.workload)?;
    if workload.is_suspended() {
        println!("{workload} is suspended already");
        return Ok(());
    }
    workload.check()?;
    let progress = Progress::new();
    // What does not run yet has nothing to lose: an older checkpoint of it stays.
    let all = workload.pods(client)?;
    let pods: Vec<Pod> = all.iter().filter(|pod| pod.runs()).cloned().collect();
    let pods = checked(client, &workload, pods, args, &progress)?;
    let stopped = stop_all(client, &pods, args.at_once, &progress);
    unless_forced(
        &stopped.failed,
        args.force,
        "the others go on in a minute at the latest, and nothing is changed",
    )?;
    stopped.in_time()?;
    let goes_on = "nothing is changed; the programs stand still, and go on in a minute at the latest";
    workload.suspend(client).context(goes_on)?;
    progress.done("suspend", &workload.to_string());
    end(client, &workload, &pods, args.at_once);
    gone(client, &workload, &all, args, &progress)?;
    drop(progress);
    println!("{workload} is suspended; to go on: kubectl crik resume {workload}");
    Ok(())
}

/// Those whose programs can be stopped.
fn checked(
    client: &Client,
    workload: &Workload,
    pods: Vec<Pod>,
    args: &Suspend,
    progress: &Progress,
) -> Result<Vec<Pod>> {
    progress.waits("whether all pods can be stopped");
    let keeps_names = workload.kind() == Kind::StatefulSet;
    let seen = in_each(client, &pods, args.at_once, |pod, crik| movable::can_stop(pod, crik, keeps_names));
    let failed: Vec<(String, String)> =
        seen.into_iter().filter_map(|(pod, came)| Some((pod, format!("{:#}", came.err()?)))).collect();
    let told: Vec<String> = failed.iter().map(|(_, why)| why.clone()).collect();
    unless_forced(&told, args.force, "nothing is changed")?;
    Ok(pods.into_iter().filter(|pod| !failed.iter().any(|(name, _)| name == pod.name())).collect())
}

/// Goes on in spite of these only where somebody wants that.
fn unless_forced(failed: &[String], force: bool, state: &str) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    let told = failed.join("\n  ");
    if force {
        eprintln!("kubectl crik: these end without a checkpoint of now:\n  {told}");
        return Ok(());
    }
    bail!("{state}; to end these without a checkpoint, and to let them begin anew: --force\n  {told}")
}

/// A StatefulSet ends its pods one after the other, and the last of many would go on before its turn; nobody makes them anew. One that
/// cannot be deleted here is ended by its owner all the same.
fn end(client: &Client, workload: &Workload, pods: &[Pod], at_once: u16) {
    if workload.kind() == Kind::StatefulSet {
        for (pod, came) in in_each(client, pods, at_once, |pod, _| Ok(pod.delete(client)?)) {
            if let Err(error) = came {
                eprintln!("kubectl crik: {workload} has to end {pod} itself: {error:#}");
            }
        }
    }
}

fn gone(
    client: &Client,
    workload: &Workload,
    pods: &[Pod],
    args: &Suspend,
    progress: &Progress,
) -> Result<()> {
    let ours: BTreeSet<&str> = pods.iter().map(Pod::uid).collect();
    wait_for(progress, args.timeout, || {
        let left = workload.pods(client)?;
        let left: Vec<&str> = left.iter().filter(|pod| ours.contains(pod.uid())).map(Pod::name).collect();
        Ok(if left.is_empty() {
            Look::There(())
        } else {
            Look::Waits(format!("the end of {}", left.join(", ")))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_stopped_keeps_all_running_unless_somebody_insists() {
        let failed = ["job-1: no checkpoint: the volume is full".to_owned()];
        let why = unless_forced(&failed, false, "nothing is changed").unwrap_err().to_string();
        assert!(
            why.starts_with("nothing is changed; ") && why.contains("--force\n  job-1: no checkpoint"),
            "{why}"
        );
        unless_forced(&failed, true, "").unwrap();
        unless_forced(&[], false, "").unwrap();
    }
}
