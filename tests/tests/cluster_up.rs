//! `make cluster-up` and `make cluster-down`: as often as one likes, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use crik_tests::cluster::process::Process;
use crik_tests::cluster::{DIRECTORY, control_plane_file, hold};
use crik_tests::tools::tool;
use crik_tests::wait::wait_for;
use nix::sys::signal::{Signal, kill};

/// Ends the cluster also when a check fails.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        let _ = cluster(&["down"]);
    }
}

fn cluster(arguments: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_cluster")).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn kubectl(arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(tool("kubectl")?).args(arguments).env("KUBECONFIG", hold::kubeconfig()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The names of its nodes, as kubectl tells them.
fn nodes() -> Result<String> {
    kubectl(&["get", "nodes", "--output", "jsonpath={.items[*].metadata.name}"])
}

/// Has a pod run in it, so that there is all that a cluster has.
fn run_a_pod() -> Result<()> {
    wait_for("a pod to be accepted", || {
        kubectl(&["run", "counter", "--image=counter:1", "--restart=Never"]).ok()
    })?;
    let phase = ["get", "pod", "counter", "--output", "jsonpath={.status.phase}"];
    wait_for("the pod to run", || kubectl(&phase).is_ok_and(|phase| phase == "Running").then_some(()))
}

/// Pastes what it prints into a shell that knows nothing yet, and does what the quick start begins with.
fn its_lines_are_all_that_a_shell_needs(printed: &str) -> Result<()> {
    let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("export ")).collect();
    let pasted = format!("{}; kubectl get nodes && helm list --all-namespaces", lines.join("; "));
    // Where kubectl and helm keep what they have learnt.
    let home = tempfile::tempdir()?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-ec", &pasted]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path());
    let output = shell.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        output.status.success() && said.contains("node-b") && said.contains("NAMESPACE"),
        "{pasted}: {said}"
    );
    Ok(())
}

/// What a cluster that is up has outside of its own directory.
struct Traces {
    control_plane: PathBuf,
    processes: Vec<(Process, String)>,
    /// Mount points of images, of whoever builds some, from before it was up.
    others_images: BTreeSet<PathBuf>,
}

impl Traces {
    /// Of the cluster that is up.
    fn of(others_images: BTreeSet<PathBuf>) -> Result<Self> {
        let control_plane = PathBuf::from(fs::read_to_string(control_plane_file())?.trim());
        ensure!(control_plane.join("etcd").is_dir(), "{} is no control plane's", control_plane.display());
        let processes = processes_of(&control_plane)?;
        for name in ["etcd", "kube-apiserver", "coredns", "containerd", "kubelet", "python3 /app/counter.py"]
        {
            let is_there = processes.iter().any(|(_, command)| command.contains(name));
            ensure!(is_there, "{name} is not among its processes: {processes:#?}");
        }
        Ok(Self { control_plane, processes, others_images })
    }

    /// What is left of it on this machine, in words.
    fn left(&self) -> Result<Vec<String>> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut left: Vec<String> =
            mounts.lines().filter(|line| line.contains(DIRECTORY)).map(str::to_owned).collect();
        let links = names("/sys/class/net", "crik0")?;
        // One hierarchy in version 2 of control groups, one for each controller in version 1.
        let hierarchies = names("/sys/fs/cgroup", "")?.into_iter().chain([PathBuf::from("/sys/fs/cgroup")]);
        let groups = hierarchies.map(|hierarchy| hierarchy.join("crik-cluster"));
        let images = &names("/var/tmp", "crik-image-")? - &self.others_images;
        let paths = [PathBuf::from(DIRECTORY), self.control_plane.clone(), hold::kubeconfig()];
        let paths = paths.into_iter().chain(groups).filter(|path| path.exists()).chain(links).chain(images);
        left.extend(paths.map(|path| path.display().to_string()));
        left.extend(
            self.processes.iter().filter(|(process, _)| process.lives()).map(|(_, name)| name.clone()),
        );
        left.extend(processes_of(&self.control_plane)?.into_iter().map(|(_, name)| name));
        Ok(left)
    }
}

/// What is in a directory, as far as its name begins so.
fn names(directory: &str, prefix: &str) -> Result<BTreeSet<PathBuf>> {
    let entries = fs::read_dir(directory)?.flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    Ok(ours.map(|entry| entry.path()).collect())
}

/// The processes of a cluster, and their commands: those that name its directories, those in the nodes' namespaces, and
/// those in the nodes' control groups, which are the pods'.
fn processes_of(control_plane: &Path) -> Result<Vec<(Process, String)>> {
    let read = |process: &Process, file: &str| {
        let content = fs::read(format!("/proc/{}/{file}", process.pid())).unwrap_or_default();
        String::from_utf8_lossy(&content).replace('\0', " ")
    };
    let namespace = |process: &Process| fs::read_link(format!("/proc/{}/ns/pid", process.pid())).ok();
    let all = Process::all();
    let own = namespace(&Process::this()?);
    let names_it = |process: &Process| {
        let command = read(process, "cmdline");
        [control_plane, Path::new(DIRECTORY)]
            .iter()
            .any(|path| command.contains(&format!("{}/", path.display())))
    };
    let nodes: BTreeSet<PathBuf> = all
        .iter()
        .filter(|process| names_it(process))
        .filter_map(namespace)
        .filter(|namespace| Some(namespace) != own.as_ref())
        .collect();
    let is_its = |process: &Process| {
        names_it(process)
            || namespace(process).is_some_and(|namespace| nodes.contains(&namespace))
            || read(process, "cgroup").contains("/crik-cluster/")
    };
    Ok(all.into_iter().filter(is_its).map(|process| (process, read(&process, "cmdline"))).collect())
}

#[test]
fn a_cluster_comes_and_goes_as_often_as_one_likes_and_leaves_nothing() -> Result<()> {
    let up = hold::holder();
    ensure!(up.is_none(), "somebody works with the cluster that is up; make cluster-down ends it: {up:?}");
    let _down = Down;
    cluster(&["down"])?;
    let images = names("/var/tmp", "crik-image-")?;
    let first = cluster(&["up"])?;
    ensure!(first.contains("was ready in"), "{first}");
    ensure!(nodes()? == "node-a node-b");
    its_lines_are_all_that_a_shell_needs(&first)?;
    let holder = hold::holder().context("nobody holds it")?;
    // A second one is the first.
    cluster(&["up"])?;
    ensure!(hold::holder() == Some(holder));
    // And if two begin at the same time, the one that comes too late changes nothing.
    let log = tempfile::NamedTempFile::new()?;
    let late = cluster(&["hold", &log.path().to_string_lossy()]);
    let late = late.err().context("two clusters are up")?.to_string();
    ensure!(late.contains("another cluster has"), "{late}");
    ensure!(hold::holder() == Some(holder) && nodes()? == "node-a node-b");
    run_a_pod()?;
    let traces = Traces::of(images.clone())?;
    cluster(&["down"])?;
    cluster(&["down"])?;
    ensure!(traces.left()?.is_empty(), "{:#?}", traces.left()?);

    // One that was killed is swept up.
    cluster(&["up"])?;
    run_a_pod()?;
    let traces = Traces::of(images)?;
    kill(hold::holder().context("nobody holds it")?, Signal::SIGKILL)?;
    cluster(&["down"])?;
    wait_for("nothing to be left", || traces.left().ok()?.is_empty().then_some(()))
        .with_context(|| format!("{:#?}", traces.left()))
}
