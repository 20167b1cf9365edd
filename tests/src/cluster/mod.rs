//! A real cluster of two nodes on this machine: a control plane, DNS, and two nodes with containerd and a kubelet each.
//!
//! Each node has namespaces of its own, so that it can be powered off as a whole and leaves nothing behind. All nodes see
//! this machine's disk, and so a directory on it is a volume that any node can mount.

mod addresses;
mod boot;
mod bridge;
mod bucket;
pub mod cgroups;
mod directory;
mod faulty_volume;
pub mod hold;
pub mod images;
mod logind;
mod namespaces;
mod node;
pub mod process;
mod program;
mod runtime;
mod settings;
mod space;
mod volumes;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use self::addresses::{HOST, PODS};
use self::bridge::Bridge;
use self::directory::Directory;
pub use self::directory::{DIRECTORY, control_plane_file};
pub use self::faulty_volume::FaultyVolume;
use self::images::Image;
pub use self::node::Node;
use self::node::{COUNT, name};
use self::program::{Place, Program};
use self::runtime::runtime;
use self::settings::Settings;
pub use self::space::{Follower, Space};
pub use self::workload::Workload;
use crate::control_plane::{ControlPlane, Identity, Setup};
use crate::tools::tool;
use crate::wait::wait_for;

/// The image of every pod's sandbox, as `containerd.toml` names it.
const SANDBOX: &str = "crik.invalid/pause:1";

/// A cluster, ended when this is dropped.
pub struct Cluster {
    nodes: Vec<Node>,
    _programs: Vec<Program>,
    plane: ControlPlane,
    bridge: Bridge,
    took: Duration,
    /// Last, so that the next cluster begins when this one has ended.
    _directory: Directory,
}

impl Cluster {
    /// Starts one, and waits until its nodes are ready. Where they do not get ready in time, which was seen once, it is started anew, and
    /// what they complained of is told.
    ///
    /// # Errors
    /// There is another, or something does not start twice; the message has its last words.
    pub fn start() -> Result<Self> {
        let images = prepare()?;
        Self::start_in(Directory::new()?, &images).or_else(|error| {
            eprintln!("a cluster is started anew, for it did not start: {error:#}");
            Self::start_in(Directory::new()?, &images)
        })
    }

    /// Starts one likewise, for whoever has the directory already.
    ///
    /// # Errors
    /// Something does not start; the message has its last words.
    fn start_in(directory: Directory, images: &[Image]) -> Result<Self> {
        let began = Instant::now();
        let bridge = Bridge::new()?;
        let plane = ControlPlane::start_with(&Setup {
            address: HOST.into(),
            flags: vec![
                // The nodes' names are not in this machine's DNS.
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
                // Nor does this machine know the addresses of Services, at which a webhook is asked otherwise.
                "--enable-aggregator-routing=true".to_owned(),
            ],
        })?;
        directory.remember(plane.directory())?;
        let programs = programs(&plane)?;
        volumes::create(&plane)?;
        let nodes = start_nodes(&bridge, &plane)?;
        import(&nodes, images)?;
        let mut cluster =
            Self { nodes, _programs: programs, plane, bridge, took: Duration::ZERO, _directory: directory };
        cluster.wait_until_ready()?;
        cluster.took = began.elapsed();
        eprintln!("a cluster of {COUNT} nodes was ready in {:.1} s", cluster.took.as_secs_f64());
        Ok(cluster)
    }

    /// How long it took to get ready, without the time to build its programs.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Its control plane.
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One of its nodes.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.iter().find(|node| node.name() == name).with_context(|| format!("no node {name}"))
    }

    /// Starts a node again that was killed.
    ///
    /// # Errors
    /// It does not start.
    pub fn boot(&self, node: &Node) -> Result<()> {
        node.boot(&self.bridge)
    }

    /// Takes more images into all nodes than those of the repository, for tests that need them.
    ///
    /// # Errors
    /// A node is down, or the disk is full.
    pub fn import(&self, images: &[Image]) -> Result<()> {
        import(&self.nodes, images)
    }

    /// Runs kubectl as someone who may do everything.
    ///
    /// # Errors
    /// It fails.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.plane.kubectl(args)
    }

    /// Waits until all nodes are ready.
    ///
    /// # Errors
    /// One does not get ready in time; the message has what its programs complain of.
    pub fn wait_until_ready(&self) -> Result<()> {
        for number in 1..=COUNT {
            let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            wait_for(&format!("{} to be ready", name(number)), || {
                let status = self.kubectl(&["get", "node", &name(number), "--output", path]);
                status.is_ok_and(|status| status == "True").then_some(())
            })
            .with_context(|| self.nodes[usize::from(number) - 1].complaints())?;
        }
        Ok(())
    }
}

fn start_nodes(bridge: &Bridge, plane: &ControlPlane) -> Result<Vec<Node>> {
    let directory = Path::new(DIRECTORY);
    thread::scope(|scope| {
        let start = |number| scope.spawn(move || Node::start(number, bridge, plane, directory));
        let started: Vec<_> = (1..=COUNT).map(start).collect();
        started.into_iter().map(|node| node.join().ok().context("a thread panicked")?).collect()
    })
}

/// Builds what a cluster runs, which may take minutes: before it has anything. Returns the images of the repository, and
/// the sandbox's.
fn prepare() -> Result<Vec<Image>> {
    tool("kubelet")?;
    let mut images = images::build_all(&images::RECIPES)?;
    images.push(Image::of_program(SANDBOX, &runtime()?.join("pause"))?);
    Ok(images)
}

/// Takes images into all nodes.
fn import(nodes: &[Node], images: &[Image]) -> Result<()> {
    let archive = tempfile::Builder::new().prefix("images-").tempfile_in(DIRECTORY)?;
    images::write(images, archive.path())?;
    thread::scope(|scope| {
        let started: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.import(archive.path()))).collect();
        started.into_iter().try_for_each(|import| import.join().ok().context("a thread panicked")?)
    })
}

/// What makes a control plane of an API server, the cluster's DNS, and a bucket.
fn programs(plane: &ControlPlane) -> Result<Vec<Program>> {
    plane.kubectl(&["apply", "--filename", &write_dns_role(plane)?.to_string_lossy()])?;
    bucket::announce(plane)?;
    [controller_manager(plane)?, scheduler(plane)?, dns(plane)?, bucket::server()?]
        .into_iter()
        .map(|command| Program::start(Place::Host, command, Path::new(DIRECTORY)))
        .collect()
}

fn write_dns_role(plane: &ControlPlane) -> Result<PathBuf> {
    let path = plane.directory().join("dns.yaml");
    fs::write(&path, include_str!("../../cluster/dns.yaml"))?;
    Ok(path)
}

fn kubeconfig(plane: &ControlPlane, name: &str, user: &str) -> Result<PathBuf> {
    let pair = plane.certificates().client(name, user, None)?;
    plane.kubeconfig_for(name, &Identity::Certificate(&pair))
}

fn controller_manager(plane: &ControlPlane) -> Result<Command> {
    let config = kubeconfig(plane, "controller-manager", "system:kube-controller-manager")?;
    let mut command = Command::new(tool("kube-controller-manager")?);
    command.arg("--kubeconfig").arg(&config);
    command.arg("--root-ca-file").arg(plane.certificates().path("ca.crt"));
    command.arg("--service-account-private-key-file").arg(plane.certificates().path("accounts.key"));
    // Nobody asks it anything.
    command.args(["--secure-port=0", "--use-service-account-credentials", "--leader-elect=false"]);
    command.args(["--cluster-cidr", PODS]);
    Ok(command)
}

fn scheduler(plane: &ControlPlane) -> Result<Command> {
    let config = kubeconfig(plane, "scheduler", "system:kube-scheduler")?;
    let mut command = Command::new(tool("kube-scheduler")?);
    command.arg("--kubeconfig").arg(&config);
    command.args(["--secure-port=0", "--leader-elect=false"]);
    Ok(command)
}

fn dns(plane: &ControlPlane) -> Result<Command> {
    let mut settings = Settings::default();
    settings.set("HOST", HOST);
    settings.set("KUBECONFIG", kubeconfig(plane, "dns", "dns")?.display());
    let file = settings.write(include_str!("../../cluster/Corefile"), &plane.directory().join("Corefile"))?;
    let mut command = Command::new(runtime()?.join("coredns"));
    command.arg("-conf").arg(file);
    Ok(command)
}
