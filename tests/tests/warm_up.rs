//! What a program has in memory is stored at the first sign that its node may go away, so that its checkpoint writes only what has changed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use crik_api::NodeState;
use crik_store::base::fault_points::HURRY_VARIABLE;
use crik_tests::bucket::Bucket;
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::crik::json;
use crik_tests::faulty::{Fault, Op};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, STEPS, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::Value;

/// Megabytes that the program has, which nothing makes smaller.
const MEGABYTES: u64 = 64;

const STORED: &str = " of memory are stored beforehand";

/// A pod on `node-a` and the controller that it listens to.
struct Scene {
    controller: Controller,
    pod: Pod,
}

fn ready() -> TestNode {
    TestNode::ready("node-a")
}

impl Scene {
    fn of(pod: Pod, network: &Network) -> Result<Self> {
        let controller = Controller::start(&[ready()])?;
        let url = format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port());
        let pod = pod.config(&url).network(network).same_node_name();
        Ok(Self { controller, pod })
    }

    fn on(volume: &Volume, network: &Network, config: &str) -> Result<Self> {
        Self::of(pod(volume, MEGABYTES, config), network)
    }

    /// The node shows this, and the controller knows.
    fn shows(&self, node: TestNode, state: NodeState) -> Result<()> {
        self.controller.set_nodes(&[node])?;
        self.controller.becomes("node-a", state)
    }

    fn cordon(&self) -> Result<()> {
        self.shows(ready().cordoned(), NodeState::Cordoned)
    }

    /// Stores all, changes a tenth, and ends with a checkpoint.
    fn is_warmed_and_ends(&self) -> Result<Running> {
        let mut running = started(&self.pod)?;
        self.cordon()?;
        running.stderr.wait_for(STORED).with_context(|| running.transcript())?;
        running.signal(Signal::SIGHUP)?;
        running.stdout.wait_for("changed")?;
        ends_with(&mut running, CHECKPOINTED)?;
        Ok(running)
    }
}

/// One whose program has so many megabytes.
fn pod(volume: &Volume, megabytes: u64, config: &str) -> Pod {
    let command = ["python3", "/programs/arrays.py", &megabytes.to_string(), "random"];
    Pod::new(volume, "node-a", &command).config(config)
}

/// With an agent that takes a second for the half minute for which a node must be well again.
fn hurried(pod: Pod) -> Result<Pod> {
    let binary = cargo_bin("crik-agent", "crik", &["fault-points"])?;
    Ok(pod.binary(&binary).with(|spec| spec.env(HURRY_VARIABLE, "30")))
}

/// The newest generation of a list wrote less than a third of what it has.
fn is_mostly_known(list: &Value) -> Result<()> {
    let newest = &list["generations"][0];
    let [bytes, new] = ["bytes", "newBytes"].map(|name| newest[name].as_u64().unwrap_or(0));
    ensure!(bytes > MEGABYTES << 20 && new < bytes / 3, "{new} of {bytes} are new\n{list}");
    Ok(())
}

/// The packs that there are for generations to share.
fn packs(volume: &Volume) -> usize {
    fs::read_dir(volume.path().join("job-0/packs")).map_or(0, Iterator::count)
}

/// Where something is being stored, which has another name for each part.
fn under_way(volume: &Volume) -> Option<PathBuf> {
    let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = below(volume.path().join("job-0")).filter(|path| path.is_dir()).flat_map(below);
    let mut all = all.flat_map(|path| below(path.clone()).chain([path]));
    all.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("warm-up-")))
}

#[test]
fn a_checkpoint_after_a_sign_writes_only_what_has_changed_since() -> Result<()> {
    for config in ["format: chunks", "encryptionKeyFile: /checkpoints/keys"] {
        let (volume, network) = (Volume::new()?, Network::new()?);
        fs::write(volume.path().join("keys"), "k".repeat(40))?;
        let scene = Scene::on(&volume, &network, config)?;
        let first = scene.is_warmed_and_ends()?;
        is_mostly_known(&json(&volume, &["list"])?).with_context(|| first.transcript())?;
        let second = started(&scene.pod)?;
        resumes(&second, 1)?;
        chain::verify(&[first.stdout.text().replace("changed\n", ""), second.stdout.text()])?;
    }
    Ok(())
}

#[test]
fn so_it_does_in_a_bucket() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let scene = Scene::of(bucket.pod(pod(&volume, MEGABYTES, "")), bucket.network())?;
    scene.is_warmed_and_ends()?;
    let listed = bucket.crik(&["list", "--output", "json"])?;
    is_mostly_known(&serde_json::from_str(&listed.out)?)?;
    resumes(&started(&scene.pod)?, 1)
}

#[test]
fn a_node_that_stays_gets_its_room_back() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let scene = Scene::of(hurried(pod(&volume, MEGABYTES, "format: chunks"))?, &network)?;
    let mut running = started(&scene.pod)?;
    scene.cordon()?;
    running.stderr.wait_for(STORED)?;
    ensure!(packs(&volume) > 0);
    scene.shows(ready(), NodeState::Ready)?;
    running.stderr.wait_for("the node stays; what was stored beforehand is given up")?;
    wait_for("what was stored to be removed", || (packs(&volume) == 0).then_some(()))?;
    // It is a sign again when it comes again.
    scene.cordon()?;
    wait_for("it to be stored again", || (packs(&volume) > 0).then_some(()))?;
    ends_with(&mut running, CHECKPOINTED)?;
    resumes(&started(&scene.pod)?, 1)
}

#[test]
fn so_it_does_in_a_bucket_and_while_it_is_being_stored() -> Result<()> {
    let (bucket, volume) = (Bucket::new()?, Volume::new()?);
    let slowly = bucket.pod(hurried(pod(&volume, 220, "warmUpRate: 20MB"))?);
    let scene = Scene::of(slowly, bucket.network())?;
    let running = started(&scene.pod)?;
    let blobs = || bucket.objects("checkpoints/job-0/blobs/").map_or(usize::MAX, |objects| objects.len());
    let before = blobs();
    scene.cordon()?;
    wait_for("something to be stored", || (blobs() > before + 4).then_some(()))?;
    scene.shows(ready(), NodeState::Ready)?;
    running.stderr.wait_for("not all of it was stored before something else came")?;
    wait_for("what was stored to be removed", || (blobs() <= before).then_some(()))
        .with_context(|| format!("{before} before, {} now\n{}", blobs(), running.transcript()))
}

#[test]
fn a_program_that_has_ended_leaves_nothing_of_it() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let until = "python3 /programs/arrays.py 64 random & until [ -e /tmp/end ]; do sleep 0.1; done; kill $!";
    let ends = Pod::new(&volume, "node-a", &["sh", "-c", until]).config("format: chunks");
    let scene = Scene::of(ends, &network)?;
    let mut running = started(&scene.pod)?;
    scene.cordon()?;
    running.stderr.wait_for(STORED)?;
    ensure!(packs(&volume) > 0);
    running.exec(&["touch", "/tmp/end"])?;
    let code = running.wait()?;
    ensure!(code == 0 && packs(&volume) == 0, "{code}\n{}", running.transcript());
    Ok(())
}

#[test]
fn the_room_of_a_checkpoint_is_not_taken_for_it() -> Result<()> {
    let (volume, network) = (Volume::of_size(200)?, Network::new()?);
    let scene = Scene::on(&volume, &network, "format: chunks")?;
    let mut running = started(&scene.pod)?;
    scene.cordon()?;
    running.stderr.wait_for("the volume has no room for more besides a checkpoint")?;
    ends_with(&mut running, CHECKPOINTED)?;
    resumes(&started(&scene.pod)?, 1)
}

/// As when something else fills the volume meanwhile.
#[test]
fn what_was_stored_makes_room_before_an_older_checkpoint_does() -> Result<()> {
    let (volume, network) = (Volume::of_size(450)?, Network::new()?);
    let scene = Scene::on(&volume, &network, "format: chunks")?;
    checkpointed(&pod(&volume, MEGABYTES, "format: chunks"))?;
    let mut running = started(&scene.pod)?;
    resumes(&running, 1)?;
    running.signal(Signal::SIGHUP)?;
    running.stdout.wait_for("changed")?;
    scene.cordon()?;
    running.stderr.wait_for(STORED)?;
    let free = nix::sys::statvfs::statvfs(volume.path())?;
    let free = free.blocks_available() * free.fragment_size();
    fs::write(volume.path().join("others"), vec![1; (free - (60 << 20)) as usize])?;
    ends_with(&mut running, CHECKPOINTED)?;
    ensure!(volume.generations("job-0").len() == 2, "{}", running.transcript());
    fs::remove_file(volume.path().join("others"))?;
    resumes(&started(&scene.pod)?, 2)
}

#[test]
fn a_stop_does_not_wait_for_what_is_being_stored_and_has_what_was() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    // A part has 134 MB, and the second one would take until long after the test.
    let slowly = pod(&volume, 220, "format: chunks\nwarmUpRate: 20MB");
    let scene = Scene::of(slowly, &network)?;
    let mut running = started(&scene.pod)?;
    scene.cordon()?;
    let first = wait_for("a part to be begun", || under_way(&volume))?;
    wait_for("the next one to be begun", || under_way(&volume).filter(|next| *next != first))?;
    ends_with(&mut running, CHECKPOINTED)?;
    running.stderr.wait_for("not all of it was stored before something else came")?;
    let newest = &json(&volume, &["list"])?["generations"][0];
    let [bytes, new] = ["bytes", "newBytes"].map(|name| newest[name].as_u64().unwrap_or(0));
    ensure!(bytes > 220 << 20 && new < bytes / 2, "{new} of {bytes} are new\n{}", running.transcript());
    resumes(&started(&scene.pod)?, 1)
}

#[test]
fn what_an_agent_has_stored_that_was_killed_is_removed_by_the_next_one() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let scene = Scene::on(&volume, &network, "format: chunks\nclaimExpiry: 1s")?;
    let running = started(&scene.pod)?;
    scene.cordon()?;
    running.stderr.wait_for(STORED)?;
    ensure!(packs(&volume) > 0);
    drop(running);
    scene.shows(ready(), NodeState::Ready)?;
    let next = started(&scene.pod)?;
    wait_for("what was stored to be removed", || (packs(&volume) == 0).then_some(()))
        .with_context(|| next.transcript())
}

#[test]
fn a_volume_that_hangs_meanwhile_holds_up_neither_the_program_nor_its_stop() -> Result<()> {
    let (volume, network) = (Volume::new()?.faulty_copy()?, Network::new()?);
    let scene = Scene::on(&volume.volume, &network, "format: chunks\ngracePeriod: 10s\nreserve: 4s")?;
    let mut running = started(&scene.pod)?;
    running.stderr.wait_for("checkpoints are kept in chunks")?;
    volume.faulty.faults.arm(1, Fault::ChangesFromThenOn(libc::EDQUOT));
    scene.cordon()?;
    running.stderr.wait_for("not all of it is stored beforehand")?;
    volume.faulty.faults.clear();
    scene.shows(ready(), NodeState::Ready)?;
    volume.faulty.faults.hang_at(Op::Write);
    scene.cordon()?;
    wait_for("the volume to hang", || volume.faulty.faults.hang().then_some(()))?;
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    running.signal(Signal::SIGTERM)?;
    running.stderr.wait_for("no checkpoint; the application is told to stop")?;
    // Nothing ends that waits for an answer of the volume.
    volume.faulty.faults.clear();
    running.wait()?;
    ensure!(volume.backing.generations("job-0").is_empty(), "{}", running.transcript());
    Ok(())
}

#[test]
fn where_it_would_be_of_no_use_or_nobody_wants_it_nothing_is_stored() -> Result<()> {
    for config in ["format: plain", "format: chunks\nwarmUp: off"] {
        let (volume, network) = (Volume::new()?, Network::new()?);
        let scene = Scene::on(&volume, &network, config)?;
        let mut running = started(&scene.pod)?;
        scene.shows(ready().shutting_down(), NodeState::ShuttingDown)?;
        running.stderr.wait_for("node state changed state=shutting-down")?;
        running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
        ends_with(&mut running, CHECKPOINTED)?;
        ensure!(!running.stderr.text().contains("beforehand"), "{config}\n{}", running.transcript());
    }
    Ok(())
}
