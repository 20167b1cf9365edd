//! A real NFS: a checkpoint moves over it, whatever the server does meanwhile and whoever else is there.

use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::nfs::{Client, Export, Share, on_nfs};
use crik_tests::pod::Pod;
use crik_tests::story::{SINGLE, checkpointed, resumes, started};
use crik_tests::volume::Volume;

/// So that an emulated processor on a busy machine is no slow volume.
const PATIENT: &str = "gracePeriod: 30m";

/// A pod whose program only computes.
fn pod(volume: &Volume) -> Pod {
    Pod::new(volume, "node-a", &SINGLE).config(PATIENT)
}

/// Two pods, each on a node with a client of its own.
fn moves_on(export: Export) -> Result<()> {
    let share = Share::new(export)?;
    let clients = [Client::new()?, Client::new()?];
    let volumes = [share.seen_by(&clients[0])?, share.seen_by(&clients[1])?];
    let pod = pod(&volumes[0]);
    let first = checkpointed(&pod)?;
    let owner = share.path().join("job-0").metadata()?.uid();
    ensure!((owner == 0) == (export == Export::NoRootSquash), "what root writes belongs to {owner}");
    let next = started(&pod.on(&volumes[1]))?;
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
