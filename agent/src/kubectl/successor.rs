//! The pod that comes after one that is moved, until its program goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};

use super::client::{Client, KubectlError};
use super::pod::{Owner, Pod};
use super::progress::Progress;
use super::resumption::{self, Seen};
use super::wait::{Look, wait_for};

/// Labels by which the pods of one owner are told from others, so that not all of a namespace are looked through.
const OF_OWNERS: [&str; 2] = ["pod-template-hash", "batch.kubernetes.io/controller-uid"];

/// The pods of an owner.
pub struct Siblings<'a> {
    client: &'a Client,
    owner: Owner,
    selector: Option<String>,
    /// The container that runs under crik, if it was named.
    container: Option<&'a str>,
    /// Whether their agents tell the controller how they have started.
    reports: bool,
    /// Those that were there before.
    known: BTreeSet<String>,
}

impl<'a> Siblings<'a> {
    /// The owner's pods besides those that are there by now.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn after(
        client: &'a Client,
        pod: &Pod,
        owner: Owner,
        container: Option<&'a str>,
    ) -> Result<Self, KubectlError> {
        let label = OF_OWNERS.iter().find_map(|name| Some(format!("{name}={}", pod.label(name)?)));
        let (reports, known) = (pod.last_start().is_some(), BTreeSet::new());
        let mut siblings = Self { client, owner, selector: label, container, reports, known };
        siblings.known = siblings.all()?.iter().map(|pod| pod.uid().to_owned()).collect();
        Ok(siblings)
    }

    fn all(&self) -> Result<Vec<Pod>, KubectlError> {
        let which: Vec<&str> = self.selector.iter().flat_map(|selector| ["--selector", selector]).collect();
        let pods = self.client.list("pods", &which)?.into_iter().map(Pod::from);
        Ok(pods.filter(|pod| pod.owner().is_some_and(|owner| owner.uid == self.owner.uid)).collect())
    }

    /// Waits until the next one's program goes on from this generation or a newer one. Returns the pod and the generation.
    ///
    /// # Errors
    /// It begins anew or from an older one, or does neither in time.
    pub fn resumed(&self, generation: u64, progress: &Progress, timeout: Duration) -> Result<(Pod, u64)> {
        wait_for(progress, timeout, || {
            let next =
                self.all()?.into_iter().find(|pod| !pod.is_ending() && !self.known.contains(pod.uid()));
            let Some(pod) = next else {
                return Ok(Look::Waits(format!(
                    "{} {} to make the next pod",
                    self.owner.kind, self.owner.name
                )));
            };
            let name = pod.name().to_owned();
            match resumption::look(self.client, &pod, self.container) {
                Seen::Resumed(from) if from >= generation => Ok(Look::There((pod, from))),
                Seen::Resumed(from) => bail!(
                    "{name} goes on from generation {from}, which is older; kubectl logs {name} says why"
                ),
                Seen::Fresh(why) => bail!("{name} has begun anew: {why}"),
                Seen::Unknown(_) if self.reports => {
                    Ok(Look::Waits(format!("{name}: what its agent reports")))
                }
                Seen::Unknown(why) => {
                    bail!("{name} is the next pod, and whether its program goes on is not known: {why}")
                }
                Seen::Waits(what) => Ok(Look::Waits(format!("{name}: {what}"))),
            }
        })
    }
}
