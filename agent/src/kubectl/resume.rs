//! `kubectl crik resume`: scale back → wait until all programs go on.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::args::Resume;
use super::client::Client;
use super::pod::Pod;
use super::progress::Progress;
use super::resumption::{self, Seen};
use super::wait::{Look, wait_for};
use super::workload::Workload;

/// Resumes a workload that is suspended.
///
/// # Errors
/// It is not, or a program begins anew or does not go on in time.
pub fn resume(client: &Client, args: &Resume) -> Result<()> {
    let workload = Workload::get(client, &args.workload)?;
    let replicas = workload.to_resume()?;
    let before = workload.pods(client)?.iter().map(|pod| pod.uid().to_owned()).collect();
    workload.resume(client, replicas)?;
    let progress = Progress::new();
    progress.done("resume", &format!("{workload}, replicas: {replicas}"));
    let mut started = Started { before, ..Started::default() };
    wait_for(&progress, args.timeout, || {
        started.look(client, &workload.pods(client)?, &progress)?;
        let waits = || format!("{} of {replicas} pods; {}", started.seen.len(), started.waits);
        Ok(if started.seen.len() as u64 >= replicas { Look::There(()) } else { Look::Waits(waits()) })
    })?;
    drop(progress);
    let fresh: Vec<&str> = started.seen.values().filter_map(Option::as_deref).collect();
    ensure!(fresh.is_empty(), "these have begun anew:\n  {}", fresh.join("\n  "));
    println!("{workload} goes on");
    Ok(())
}

/// The pods that have started.
#[derive(Default)]
struct Started {
    /// Those that were there before, which a Job has done.
    before: BTreeSet<String>,
    /// By their uid; why, if one has begun anew.
    seen: BTreeMap<String, Option<String>>,
    /// What another one waits for.
    waits: String,
}

impl Started {
    fn look(&mut self, client: &Client, pods: &[Pod], progress: &Progress) -> Result<()> {
        "the next pod".clone_into(&mut self.waits);
        let known = |uid: &str| self.before.contains(uid) || self.seen.contains_key(uid);
        let new = |pod: &&Pod| !pod.is_ending() && !known(pod.uid());
        for pod in pods.iter().filter(new).collect::<Vec<_>>() {
            let name = pod.name();
            let fresh = match resumption::look(client, pod, None) {
                Seen::Waits(what) => {
                    self.waits = format!("{name}: {what}");
                    continue;
                }
                Seen::Resumed(generation) => {
                    let node = pod.node().unwrap_or("its node");
                    progress.done("goes on", &format!("{name} on {node}, from generation {generation}"));
                    None
                }
                Seen::Fresh(why) => Some(format!("{name}: {why}")),
                Seen::Unknown(why) => {
                    bail!("{name} runs, and whether its program goes on is not known: {why}")
                }
            };
            self.seen.insert(pod.uid().to_owned(), fresh);
        }
        Ok(())
    }
}
