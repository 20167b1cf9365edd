//! `kubectl crik suspend`: check → stop all together → scale to 0 → wait until all are gone.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};

use super::args::Suspend;
use super::client::Client;
use super::movable;
use super::pod::Pod;
use super::progress::Progress;
use super::stop_together::{Failed, Stopped, in_each, stop_all};
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
    for right in workload.to_suspend() {
        client.may(&right).context("nothing is changed")?;
    }
    let progress = Progress::new();
    // What does not run yet has nothing to lose: an older checkpoint of it stays.
    let all = workload.pods(client)?;
    let running: Vec<Pod> = all.iter().filter(|pod| pod.runs()).cloned().collect();
    let pods = checked(client, &workload, running.clone(), args, &progress)?;
    let stopped = stop_all(client, &pods, args.at_once, &progress);
    unless_forced(
        &stopped.failed,
        args.force,
        "the others go on in a minute at the latest, and nothing is changed",
    )?;
    scale(client, &workload, &running, &stopped, args)?;
    progress.done("suspend", &workload.to_string());
    end(client, &workload, &pods, args.at_once);
    gone(client, &workload, &all, args, &progress)?;
    drop(progress);
    println!("{workload} is suspended; to go on: kubectl crik resume {workload}");
    Ok(())
}

/// Scales it, as long as nobody else does so and all of its programs stand still.
fn scale(
    client: &Client,
    workload: &Workload,
    running: &[Pod],
    stopped: &Stopped,
    args: &Suspend,
) -> Result<()> {
    let goes_on = "nothing is changed; the programs stand still, and go on in a minute at the latest";
    loop {
        let client = &stopped.in_time(client)?;
        let now = Workload::get(client, &args.workload).context(goes_on)?;
        let pods = now.pods(client).context(goes_on)?;
        unchanged(workload, running, &now, &pods).context(goes_on)?;
        match now.suspend(client) {
            // Its status changes too.
            Err(error) if error.has_reason("Conflict") => {}
            other => {
                return other.context(
                    "it is not scaled, as far as is known; the programs go on in a minute at the latest",
                );
            }
        }
    }
}

/// Checks that it is as it was before the checkpoints, and that no other program would be ended with those that stand still.
fn unchanged(before: &Workload, running: &[Pod], now: &Workload, pods: &[Pod]) -> Result<()> {
    ensure!(!now.differs(before), "somebody has scaled {now} meanwhile");
    let known: BTreeSet<&str> = running.iter().map(Pod::uid).collect();
    let other = pods.iter().find(|pod| pod.runs() && !known.contains(pod.uid()));
    other.map_or(Ok(()), |pod| {
        bail!("{} has come meanwhile, and its program does not stand still", pod.name())
    })
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
    let failed: Vec<Failed> =
        seen.into_iter().filter_map(|(pod, came)| Some(Failed { pod, why: came.err()? })).collect();
    unless_forced(&failed, args.force, "nothing is changed")?;
    Ok(pods.into_iter().filter(|pod| !failed.iter().any(|one| one.pod == pod.name())).collect())
}

/// Goes on in spite of these only where somebody wants that, and nothing else can be done with them.
fn unless_forced(failed: &[Failed], force: bool, state: &str) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    let told = failed.iter().map(Failed::to_string).collect::<Vec<_>>().join("\n  ");
    if !failed.iter().all(Failed::can_be_given_up) {
        bail!(
            "{state}; not each of these is known to be without a checkpoint, so --force does not help:\n  {told}"
        );
    }
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
        let left = left.iter().filter(|pod| ours.contains(pod.uid()) && !pod.is_over());
        let left: Vec<&str> = left.map(Pod::name).collect();
        Ok(if left.is_empty() {
            Look::There(())
        } else {
            Look::Waits(format!("the end of {}", left.join(", ")))
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::client::KubectlError;
    use super::super::movable::NotMovable;
    use super::super::pod::fixture;
    use super::*;

    fn not_protected() -> Failed {
        let why = NotMovable::NotProtected { pod: "job-1".to_owned(), why: "its volume is away".to_owned() };
        Failed { pod: "job-1".to_owned(), why: why.into() }
    }

    #[test]
    fn what_cannot_be_stopped_keeps_all_running_unless_somebody_insists() {
        let failed = [not_protected()];
        let why = unless_forced(&failed, false, "nothing is changed").unwrap_err().to_string();
        assert!(
            why.starts_with("nothing is changed; ") && why.contains("--force\n  job-1 is not protected"),
            "{why}"
        );
        unless_forced(&failed, true, "").unwrap();
        unless_forced(&[], false, "").unwrap();
    }

    #[test]
    fn nobody_insists_where_it_is_not_known_whether_there_is_a_checkpoint() {
        let said = "dial tcp: i/o timeout".to_owned();
        let why = KubectlError::Failed { asked: "exec job-2".to_owned(), said };
        let failed = [not_protected(), Failed { pod: "job-2".to_owned(), why: why.into() }];
        let why = unless_forced(&failed, true, "nothing is changed").unwrap_err().to_string();
        assert!(why.contains("--force does not help") && why.contains("job-2: kubectl exec job-2"), "{why}");
    }

    fn set(replicas: u64) -> Workload {
        let object = json!({"metadata": {"uid": "set"}, "spec": {"replicas": replicas}});
        Workload::of("sts/job".parse().unwrap(), object)
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = fixture::pod(&[]);
        change(&mut pod);
        Pod::from(pod)
    }

    #[test]
    fn what_changes_while_checkpoints_are_taken_is_not_scaled() {
        let before = [pod(|_| ())];
        let waiting = || pod(|pod| pod["status"]["phase"] = json!("Pending"));
        unchanged(&set(2), &before, &set(2), &[pod(|_| ()), waiting()]).unwrap();
        let why = unchanged(&set(2), &before, &set(3), &before).unwrap_err().to_string();
        assert_eq!(why, "somebody has scaled statefulset/job meanwhile");
        let other = pod(|pod| pod["metadata"]["uid"] = json!("2"));
        let why = unchanged(&set(2), &before, &set(2), &[other]).unwrap_err().to_string();
        assert!(why.starts_with("job-0 has come meanwhile"), "{why}");
    }
}
