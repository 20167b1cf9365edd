//! A node: a part of this machine in namespaces of its own, with containerd, a kubelet and kube-proxy, as a real node
//! has them. All of it ends when its first process does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::addresses::{BRIDGE_BITS, HOST, PODS, of_node, of_pods};
use super::boot;
use super::bridge::Bridge;
use super::cgroups::Cgroups;
use super::directory::CGROUP;
use super::logind;
use super::namespaces::Namespaces;
use super::program::{Place, Program};
use super::runtime::runtime;
use super::settings::Settings;
use crate::build::workspace;
use crate::control_plane::{ControlPlane, Identity};
use crate::tools::tool;

/// How many nodes there are.
pub const COUNT: u8 = 2;

/// A node that is ended when this is dropped.
pub struct Node {
    identity: NodeIdentity,
    /// None while it is down.
    machine: Mutex<Option<Machine>>,
}

/// What stays the same when it goes down and comes back.
struct NodeIdentity {
    number: u8,
    boots: AtomicU32,
    directory: PathBuf,
    kubeconfig: PathBuf,
    proxy_kubeconfig: PathBuf,
    authority: PathBuf,
}

/// What runs: ended from the first to the last, and its control groups are removed when nothing is in them.
struct Machine {
    kubelet: Option<Program>,
    others: Vec<Program>,
    namespaces: Namespaces,
    first: Child,
    _cgroups: Cgroups,
}

impl Node {
    /// Starts one, from 1 on, whose kubelet has registered itself some time after this returns.
    ///
    /// # Errors
    /// Something of it does not start; the message has its last words.
    pub fn start(number: u8, bridge: &Bridge, plane: &ControlPlane, parent: &Path) -> Result<Self> {
        let identity = NodeIdentity::new(number, plane, parent)?;
        let machine = Mutex::new(Some(identity.boot(bridge)?));
        Ok(Self { identity, machine })
    }

    /// Its name: `node-a`, `node-b`.
    pub fn name(&self) -> String {
        name(self.identity.number)
    }

    /// Takes images into its containerd from an archive.
    ///
    /// # Errors
    /// It refuses.
    pub fn import(&self, archive: &Path) -> Result<()> {
        self.ctr(&["images", "import", &archive.to_string_lossy()]).map(drop)
    }

    /// Runs containerd's own client.
    ///
    /// # Errors
    /// It fails.
    pub fn ctr(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(runtime()?.join("ctr"));
        command.args(["--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io"]).args(args);
        self.run(command)
    }

    /// Runs a command in it.
    ///
    /// # Errors
    /// It is down, or the command fails.
    pub fn run(&self, command: Command) -> Result<String> {
        let machine = self.machine();
        let machine = machine.as_ref().with_context(|| format!("{} is down", self.name()))?;
        machine.namespaces.run(command)
    }

    /// Does something to its mounts.
    ///
    /// # Errors
    /// It is down, or it fails.
    pub fn among_mounts(&self, what: impl FnOnce() -> io::Result<()> + Send) -> Result<()> {
        let machine = self.machine();
        let machine = machine.as_ref().with_context(|| format!("{} is down", self.name()))?;
        machine.namespaces.among_mounts(what)
    }

    /// Sends its kubelet a signal.
    ///
    /// # Errors
    /// It is down.
    pub fn signal_kubelet(&self, signal: Signal) -> Result<()> {
        let machine = self.machine();
        let kubelet = machine.as_ref().and_then(|machine| machine.kubelet.as_ref());
        kubelet.with_context(|| format!("{} is down", self.name()))?.signal(signal)
    }

    /// Announces that it is about to be shut down, as logind does.
    ///
    /// # Errors
    /// It is down.
    pub fn prepare_for_shutdown(&self) -> Result<()> {
        self.run(logind::prepare_for_shutdown()).map(drop)
    }

    /// True while its kubelet delays a shutdown.
    ///
    /// # Errors
    /// It is down.
    pub fn shutdown_is_delayed(&self) -> Result<bool> {
        Ok(self.run(logind::inhibitors())?.contains("kubelet"))
    }

    /// Takes its power away.
    pub fn kill(&self) {
        self.machine().take();
    }

    /// Starts it again after [`Self::kill`], with what was on its disk.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn boot(&self, bridge: &Bridge) -> Result<()> {
        let mut machine = self.machine();
        ensure!(machine.is_none(), "{} is up", self.name());
        *machine = Some(self.identity.boot(bridge)?);
        Ok(())
    }

    /// How much longer than this machine it has been up, as its pods see it; of its last boot while it is down.
    pub fn ahead(&self) -> Duration {
        boot::ahead(self.identity.number, self.identity.boots.load(Ordering::Relaxed).saturating_sub(1))
    }

    /// What its kubelet has logged.
    pub fn kubelet_log(&self) -> String {
        fs::read_to_string(self.identity.directory.join("kubelet.log")).unwrap_or_default()
    }

    /// What its programs complain of, and what they have said last.
    pub fn complaints(&self) -> String {
        let machine = self.machine();
        let Some(machine) = machine.as_ref() else { return format!("{} is down", self.name()) };
        let programs = machine.others.iter().chain(&machine.kubelet);
        programs.map(Program::complaints).collect::<Vec<_>>().join("\n")
    }

    fn machine(&self) -> MutexGuard<'_, Option<Machine>> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a node.
pub fn name(number: u8) -> String {
    format!("node-{}", char::from(b'a' + number - 1))
}

impl NodeIdentity {
    fn new(number: u8, plane: &ControlPlane, parent: &Path) -> Result<Self> {
        let name = name(number);
        let user =
            plane.certificates().client(&name, &format!("system:node:{name}"), Some("system:nodes"))?;
        let kubeconfig = plane.kubeconfig_for(&name, &Identity::Certificate(&user))?;
        let proxy = format!("{name}-proxy");
        let user = plane.certificates().client(&proxy, "system:kube-proxy", None)?;
        let proxy_kubeconfig = plane.kubeconfig_for(&proxy, &Identity::Certificate(&user))?;
        let directory = parent.join(&name);
        fs::create_dir_all(&directory)?;
        let authority = plane.certificates().path("ca.crt");
        let boots = AtomicU32::new(0);
        Ok(Self { number, boots, directory, kubeconfig, proxy_kubeconfig, authority })
    }

    /// First the namespaces, then what connects them, then the programs in the order in which they need each other.
    fn boot(&self, bridge: &Bridge) -> Result<Machine> {
        let cgroups = Cgroups::new(&format!("{CGROUP}/{}", name(self.number)))?;
        let mut first = Command::new(runtime()?.join("pause"));
        // So that it can be told whose it is.
        first.arg(&self.directory).stderr(Stdio::null());
        let (namespaces, first) = Namespaces::new(first)?;
        let mut machine = Machine { kubelet: None, others: Vec::new(), namespaces, first, _cgroups: cgroups };
        bridge.connect(self.number, machine.first.id())?;
        let namespaces = &machine.namespaces;
        namespaces.run(self.setup())?;
        self.configure()?;
        let ahead = boot::ahead(self.number, self.boots.fetch_add(1, Ordering::Relaxed));
        boot::write(&self.directory, ahead, namespaces)?;
        let scripts = workspace().join("tests/cluster");
        machine.others = logind::start(namespaces, &scripts, &self.directory)?;
        machine.others.push(self.containerd(namespaces)?);
        machine.others.push(self.proxy(namespaces)?);
        machine.kubelet = Some(self.kubelet(namespaces)?);
        Ok(machine)
    }

    fn setup(&self) -> Command {
        let others = (1..=COUNT).filter(|other| *other != self.number);
        let routes: Vec<String> =
            others.map(|other| format!("{}={}", of_pods(other), of_node(other))).collect();
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("../../cluster/node.sh"), "node.sh", &name(self.number)]);
        command.args([
            of_node(self.number).to_string(),
            BRIDGE_BITS.to_string(),
            HOST.to_string(),
            routes.join(" "),
        ]);
        command
    }

    fn configure(&self) -> Result<()> {
        let mut settings = Settings::default();
        settings.set("NAME", name(self.number));
        settings.set("HOST", HOST);
        settings.set("PODS", of_pods(self.number));
        settings.set("CLUSTER", PODS);
        settings.set("CGROUP", format!("{CGROUP}/{}", name(self.number)));
        settings.set("AUTHORITY", self.authority.display());
        settings.set("DIRECTORY", self.directory.display());
        settings.set("RUNTIME", runtime()?.display());
        settings.set("KUBECONFIG", self.proxy_kubeconfig.display());
        let write = |text, file| settings.write(text, &self.directory.join(file));
        write(include_str!("../../cluster/kubelet.yaml"), "kubelet.yaml")?;
        write(include_str!("../../cluster/kube-proxy.yaml"), "kube-proxy.yaml")?;
        write(include_str!("../../cluster/containerd.toml"), "containerd.toml")?;
        write(include_str!("../../cluster/bridge.conflist"), "cni/bridge.conflist")?;
        // The cluster's DNS asks nobody else.
        write("nameserver ${HOST}\n", "resolv.conf")?;
        Ok(())
    }

    fn containerd(&self, namespaces: &Namespaces) -> Result<Program> {
        let mut command = Command::new(runtime()?.join("containerd"));
        command.arg("--config").arg(self.directory.join("containerd.toml"));
        // It looks for its shim there.
        let path = format!("{}:{}", runtime()?.display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path);
        let mut containerd = Program::start(Place::Node(namespaces), command, &self.directory)?;
        containerd.wait_until("containerd to answer", || {
            let mut ask = Command::new(runtime().unwrap_or_default().join("ctr"));
            ask.args(["--address", "/run/containerd/containerd.sock", "version"]);
            namespaces.run(ask).is_ok()
        })?;
        Ok(containerd)
    }

    fn proxy(&self, namespaces: &Namespaces) -> Result<Program> {
        let mut command = Command::new(tool("kube-proxy")?);
        command.arg("--config").arg(self.directory.join("kube-proxy.yaml"));
        Program::start(Place::Node(namespaces), command, &self.directory)
    }

    fn kubelet(&self, namespaces: &Namespaces) -> Result<Program> {
        let mut command = Command::new(tool("kubelet")?);
        command.arg("--config").arg(self.directory.join("kubelet.yaml"));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command.arg("--root-dir").arg(self.directory.join("kubelet"));
        command.arg("--cert-dir").arg(self.directory.join("kubelet-certificates"));
        command.args(["--hostname-override", &name(self.number)]);
        command.args(["--node-ip", &of_node(self.number).to_string(), "--v", "2"]);
        Program::start(Place::Node(namespaces), command, &self.directory)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.first.kill();
        // The namespace is not gone before those are waited for that it has from outside.
        self.kubelet = None;
        self.others.clear();
        let _ = self.first.wait();
    }
}
