//! `make cluster-up` and `make cluster-down`: as often as one likes, and nothing is left behind.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use crik_tests::cluster::{DIRECTORY, hold};
use crik_tests::tools::tool;
use crik_tests::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Ends the cluster also when a check fails.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        let _ = cluster("down");
    }
}

fn cluster(verb: &str) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_cluster")).arg(verb).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The names of its nodes, as kubectl tells them.
fn nodes() -> Result<String> {
    let names = ["get", "nodes", "--output", "jsonpath={.items[*].metadata.name}"];
    let output = Command::new(tool("kubectl")?).args(names).env("KUBECONFIG", hold::kubeconfig()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is left of a cluster on this machine, in words.
fn left() -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut left: Vec<String> =
        mounts.lines().filter(|line| line.contains(DIRECTORY)).map(str::to_owned).collect();
    let links = fs::read_dir("/sys/class/net")?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    left.extend(links.filter(|name| name.starts_with("crik0")));
    let groups = fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path().join("crik-cluster"));
    left.extend(groups.filter(|path| path.exists()).map(|path| path.display().to_string()));
    left.extend(fs::exists(DIRECTORY)?.then(|| DIRECTORY.to_owned()));
    for process in fs::read_dir("/proc")?.flatten() {
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        left.extend(arguments.contains(&format!("{DIRECTORY}/")).then_some(arguments));
    }
    Ok(left)
}

#[test]
fn a_cluster_comes_and_goes_as_often_as_one_likes_and_leaves_nothing() -> Result<()> {
    let _down = Down;
    cluster("down")?;
    let first = cluster("up")?;
    ensure!(first.contains("was ready in") && first.contains("export KUBECONFIG="), "{first}");
    ensure!(nodes()? == "node-a node-b");
    // A second one is the first.
    let uid = fs::read_to_string(hold::pid_file())?;
    cluster("up")?;
    ensure!(fs::read_to_string(hold::pid_file())? == uid);
    cluster("down")?;
    cluster("down")?;
    ensure!(left()?.is_empty(), "{:#?}", left()?);

    // One that was killed is swept up.
    cluster("up")?;
    let holder = Pid::from_raw(fs::read_to_string(hold::pid_file())?.trim().parse()?);
    kill(holder, Signal::SIGKILL)?;
    cluster("down")?;
    wait_for("nothing to be left", || left().ok()?.is_empty().then_some(()))?;
    Ok(())
}
