//! A real NFS: a checkpoint moves over it, whatever the server does meanwhile and whoever else is there.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::nfs::{Client, Export, Grace, Share, on_nfs};
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{
    CHECKPOINTED, SINGLE, STEPS, checkpointed, ends_with, resumes, started, stops_in_order,
};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// So that an emulated processor on a busy machine is no slow volume.
const PATIENT: &str = "gracePeriod: 30m";

/// So that the next pod need not wait long for one that vanished.
const SHORT_EXPIRY: &str = "claimExpiry: 1s";

/// So that nothing is got by waiting for a pod that may be gone.
const LONG_EXPIRY: &str = "claimExpiry: 1h";

/// What a pod exits with that must not resume.
const CLAIMED: i32 = 75;

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
fn a_program_whose_checkpoint_cannot_wait_for_the_server_is_told_to_stop_and_keeps_the_older_one()
-> Result<()> {
    on_nfs(|| {
        let nodes = Nodes::usual()?;
        let pod = Pod::new(&nodes.volumes[0], "node-a", &SINGLE).with(|spec| spec.env("GOODBYE", "3"));
        let first = checkpointed(&pod.clone().config(PATIENT))?;
        let mut second = started(&pod.replacement().config("gracePeriod: 20s"))?;
        resumes(&second, 1)?;
        let grace = Grace::begin()?;
        stops_in_order(&mut second, 3)?;
        ensure!(grace.lasts()?, "the server was there again: {}", second.transcript());
        grace.end()?;
        let next = started(&nodes.moved(&pod))?;
        resumes(&next, 1)?;
        chain::verify(&[first, next.stdout.text()]).map(drop)
    })
}

#[test]
fn of_two_nodes_that_race_for_the_hold_one_gets_it() -> Result<()> {
    on_nfs(|| {
        let nodes = Nodes::new(Export::RootSquash, Client::credulous)?;
        let pod = nodes.pod(&SINGLE).config("onClaimed: fail");
        let first = checkpointed(&pod)?;
        let winner = race([&pod.replacement(), &nodes.moved(&pod)], 1)?;
        winner.wait_for_lines(STEPS)?;
        chain::verify(&[first, winner.stdout.text()]).map(drop)
    })
}

/// Starts both at once: the one that goes on. The other one must have left, and have said who has the hold.
fn race(pods: [&Pod; 2], generation: u64) -> Result<Running> {
    let mut running = std::thread::scope(|scope| {
        let starting = pods.map(|pod| scope.spawn(|| pod.start()));
        starting.map(|one| one.join().expect("a start panicked")).into_iter().collect::<Result<Vec<_>>>()
    })?;
    let loser = wait_for("one of them to leave", || running.iter_mut().position(|one| one.poll().is_some()))
        .with_context(|| running.iter().map(Running::state).collect::<String>())?;
    let mut loser = running.remove(loser);
    ensure!(loser.wait()? == CLAIMED, "{}", loser.transcript());
    let winner = running.remove(0);
    let held = format!("the image directory is held by {}", winner.place());
    ensure!(loser.stderr.text().contains(&held), "no {held:?} in {}", loser.transcript());
    resumes(&winner, generation)?;
    Ok(winner)
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

/// Lets the program make some steps more, and then its node vanish.
fn vanishes(mut running: Running) -> Result<String> {
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    Ok(running.stdout.text())
}

/// Names of the files that clients have open and have removed.
fn silly_names(share: &Share) -> Result<Vec<String>> {
    let names =
        fs::read_dir(share.path())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok(names.collect::<Result<Vec<_>>>()?.into_iter().filter(|name| name.starts_with(".nfs")).collect())
}

#[test]
fn a_file_that_is_open_and_removed_goes_on_being_so_as_often_as_it_is_resumed() -> Result<()> {
    on_nfs(|| {
        let nodes = Nodes::usual()?;
        let pod = nodes.pod(&["python3", "/programs/removed.py", "/checkpoints/held"]).config(SHORT_EXPIRY);
        let first = checkpointed(&pod)?;
        for pod in [nodes.moved(&pod), pod.replacement()] {
            let next = started(&pod)?;
            resumes(&next, 1)?;
            ensure!(silly_names(&nodes.share)?.len() == 1, "{:?}", silly_names(&nodes.share)?);
            chain::verify(&[first.clone(), vanishes(next)?])?;
        }
        Ok(())
    })
}

#[test]
fn output_that_has_grown_since_is_written_again_on_another_node() -> Result<()> {
    on_nfs(|| {
        let nodes = Nodes::usual()?;
        let command = ["python3", "/programs/output.py", "w", "/checkpoints/out"];
        let pod = nodes.pod(&command).config(SHORT_EXPIRY);
        let first = checkpointed(&pod)?;
        let second = started(&nodes.moved(&pod))?;
        resumes(&second, 1)?;
        chain::verify(&[first.clone(), vanishes(second)?])?;
        let third = started(&pod.replacement())?;
        resumes(&third, 1)?;
        chain::verify(&[first, third.stdout.text()]).map(drop)
    })
}
