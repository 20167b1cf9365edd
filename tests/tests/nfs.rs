//! A real NFS: a checkpoint moves over it, whatever the server does meanwhile and whoever else is there.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::nfs::{Client, Export, Grace, Share, on_nfs};
use crik_tests::pod::Pod;
use crik_tests::story::{CHECKPOINTED, SINGLE, STEPS, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

/// So that an emulated processor on a busy machine is no slow volume.
const PATIENT: &str = "gracePeriod: 30m";

/// So that nothing is got by waiting for a pod that may be gone.
const LONG_EXPIRY: &str = "claimExpiry: 1h";

/// One directory of the server, and two nodes that have it mounted.
struct Nodes {
    /// Unmounted before the clients lose their links.
    volumes: [Volume; 2],
    share: Share,
    _clients: [Client; 2],
}

impl Nodes {
    fn new(export: Export, client: impl Fn() -> Result<Client>) -> Result<Self> {
        let (share, clients) = (Share::new(export)?, [client()?, client()?]);
        let volumes = [share.seen_by(&clients[0])?, share.seen_by(&clients[1])?];
        Ok(Self { volumes, share, _clients: clients })
    }

    /// With the options that most have.
    fn usual() -> Result<Self> {
        Self::new(Export::RootSquash, Client::new)
    }

    /// A pod on the first of them.
    fn pod(&self, command: &[&str]) -> Pod {
        Pod::new(&self.volumes[0], "node-a", command).config(PATIENT)
    }

    /// Another pod of the same kind on the other one.
    fn moved(&self, pod: &Pod) -> Pod {
        pod.on(&self.volumes[1])
    }
}

/// Two pods, each on a node with a client of its own.
fn moves_on(export: Export) -> Result<()> {
    let nodes = Nodes::new(export, Client::new)?;
    let pod = nodes.pod(&SINGLE);
    let first = checkpointed(&pod)?;
    let owner = nodes.share.path().join("job-0").metadata()?.uid();
    ensure!((owner == 0) == (export == Export::NoRootSquash), "what root writes belongs to {owner}");
    let next = started(&nodes.moved(&pod))?;
    resumes(&next, 1)?;
    chain::verify(&[first, next.stdout.text()]).map(drop)
}

#[test]
fn a_program_moves_over_an_export_without_root_squash() -> Result<()> {
    on_nfs(|| moves_on(Export::NoRootSquash))
}

#[test]
fn a_program_moves_over_an_export_with_root_squash() -> Result<()> {
    on_nfs(|| moves_on(Export::RootSquash))
}

#[test]
fn a_start_waits_for_a_server_that_was_restarted_and_goes_on() -> Result<()> {
    on_nfs(|| {
        let nodes = Nodes::usual()?;
        let pod = nodes.pod(&SINGLE).config("volumeTimeout: 5s");
        let first = checkpointed(&pod)?;
        let grace = Grace::begin()?;
        let next = nodes.moved(&pod).start()?;
        next.stderr.wait_for("waiting for the volume").with_context(|| next.state())?;
        ensure!(grace.lasts()? && next.stdout.text().is_empty(), "{}", next.state());
        grace.end()?;
        resumes(&next, 1)?;
        next.wait_for_lines(STEPS)?;
        chain::verify(&[first, next.stdout.text()]).map(drop)
    })
}

#[test]
fn a_checkpoint_waits_for_a_server_that_was_restarted() -> Result<()> {
    on_nfs(|| {
        let nodes = Nodes::usual()?;
        let pod = nodes.pod(&SINGLE);
        let mut first = started(&pod)?;
        let grace = Grace::begin()?;
        first.signal(Signal::SIGTERM)?;
        first.stderr.wait_for("are written, 0 B/s of late").with_context(|| first.state())?;
        ensure!(grace.lasts()? && first.poll().is_none(), "{}", first.state());
        grace.end()?;
        ensure!(first.wait()? == CHECKPOINTED, "{}", first.transcript());
        let next = started(&nodes.moved(&pod))?;
        resumes(&next, 1)?;
        chain::verify(&[first.stdout.text(), next.stdout.text()]).map(drop)
    })
}

#[test]
fn a_hold_that_is_given_back_is_seen_by_a_node_that_waits_for_it() -> Result<()> {
    on_nfs(|| {
        let nodes = Nodes::new(Export::RootSquash, Client::credulous)?;
        let pod = nodes.pod(&SINGLE).config(LONG_EXPIRY);
        let mut first = started(&pod)?;
        let next = nodes.moved(&pod).start()?;
        next.stderr.wait_for("waiting for it")?;
        ends_with(&mut first, CHECKPOINTED)?;
        resumes(&next, 1)?;
        next.wait_for_lines(STEPS)?;
        chain::verify(&[first.stdout.text(), next.stdout.text()]).map(drop)
    })
}
