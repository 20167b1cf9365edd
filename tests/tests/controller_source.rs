//! The controller's nodes file: whoever writes it, and however, no state is wrong because of it.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use crik_api::NodeState;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::get;

const READY: &str = "kind: Node\nmetadata: {name: a, uid: a}\n";
const CORDONED: &str = "kind: Node\nmetadata: {name: a, uid: a}\nspec: {unschedulable: true}\n";

#[test]
fn a_file_that_is_written_in_place_is_read_when_it_is_whole() -> Result<()> {
    let controller = Controller::start_with(READY)?;
    controller.becomes("a", NodeState::Ready)?;
    let since = controller.status("a")?.version;
    let mut file = File::create(controller.nodes_file())?;
    let poll = get(&controller.url(&format!("/v1/nodes/a?wait=300ms&since={since}")))?;
    ensure!(poll.json()["version"] == since.as_str(), "an empty file was read: {}", poll.body);
    file.write_all(CORDONED.as_bytes())?;
    drop(file);
    controller.becomes("a", NodeState::Cordoned)
}

#[test]
fn a_config_map_that_is_updated_is_seen() -> Result<()> {
    let controller = Controller::start_with(READY)?;
    controller.becomes("a", NodeState::Ready)?;
    let directory = controller.nodes_file().parent().context("no parent")?.to_owned();
    publish(&directory, "..1", CORDONED)?;
    symlink("..data/nodes.yaml", directory.join("link"))?;
    fs::rename(directory.join("link"), controller.nodes_file())?;
    controller.becomes("a", NodeState::Cordoned)?;
    publish(&directory, "..2", READY)?;
    controller.becomes("a", NodeState::Ready)
}

/// Updates a volume as the kubelet does (pkg/volume/util, AtomicWriter): a new directory, and one link that is swapped.
fn publish(volume: &Path, version: &str, nodes: &str) -> Result<()> {
    fs::create_dir(volume.join(version))?;
    fs::write(volume.join(version).join("nodes.yaml"), nodes)?;
    symlink(version, volume.join("..data_tmp"))?;
    Ok(fs::rename(volume.join("..data_tmp"), volume.join("..data"))?)
}

#[test]
fn a_directory_that_is_replaced_is_watched_again() -> Result<()> {
    let controller = Controller::start_with(READY)?;
    controller.becomes("a", NodeState::Ready)?;
    let directory = controller.nodes_file().parent().context("no parent")?.to_owned();
    let elsewhere = tempfile::tempdir()?;
    fs::rename(&directory, elsewhere.path().join("old"))?;
    fs::create_dir(&directory)?;
    fs::write(controller.nodes_file(), CORDONED)?;
    controller.becomes("a", NodeState::Cordoned)
}

#[test]
fn each_error_is_logged_with_its_line_while_the_old_state_is_doubted() -> Result<()> {
    let controller = Controller::start_with(READY)?;
    controller.becomes("a", NodeState::Ready)?;
    controller.set_text("kind: Node\nmetadata: {name: a}\nspec:\n  unschedulable: maybe\n")?;
    controller.logs("spec.unschedulable: invalid type: string \"maybe\", expected a boolean at line 4")?;
    controller.set_text("kind: Pod")?;
    controller.logs("an object of kind \"Pod\"; only Node, NodeList and List are understood")?;
    fs::remove_file(controller.nodes_file())?;
    controller.logs("No such file or directory")?;
    let status = controller.status("a")?;
    ensure!(status.stale && status.state == NodeState::Unknown, "{status:?}");
    ensure!(status.reasons[0].observed.contains("it was ready"), "{status:?}");
    controller.set_text(CORDONED)?;
    controller.becomes("a", NodeState::Cordoned)?;
    ensure!(!controller.status("a")?.stale, "still stale");
    Ok(())
}

#[test]
fn a_shutdown_is_remembered_of_a_node_that_was_only_missing() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a").shutting_down()])?;
    controller.set_nodes(&[])?;
    controller.becomes("a", NodeState::Gone)?;
    controller.set_nodes(&[TestNode::ready("a"), TestNode::ready("b")])?;
    controller.becomes("b", NodeState::Ready)?;
    ensure!(controller.status("a")?.state == NodeState::ShuttingDown, "the latch was lost");
    Ok(())
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_a_stop() -> Result<()> {
    let mut controller = Controller::start(&[TestNode::ready("a")])?;
    let mut half = TcpStream::connect(("127.0.0.1", controller.port()))?;
    half.write_all(b"GET /v1/nodes/a HTTP/1.1\r\nHo")?;
    controller.status("a")?;
    controller.terminate()?;
    ensure!(controller.wait()?.success(), "{}", controller.log());
    Ok(())
}
