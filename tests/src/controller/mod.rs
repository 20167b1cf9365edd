//! The real controller, with its nodes in a file or in a control plane; several of them behind one name; the nodes that they are
//! shown.

pub mod client;
pub mod mock_controller;
mod of_pods;
pub mod released;
pub mod replicas;
pub mod signal_fixture;
pub mod test_node;

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use crik_api::{NodeState, NodeStatus};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use self::test_node::TestNode;
use self::test_node::yaml;
use crate::build::cargo_bin;
use crate::http::get;
use crate::wait::wait_for;

const READY: &str = "the first list of nodes is complete";

/// A controller that is ended when this is dropped.
pub struct Controller {
    dir: tempfile::TempDir,
    launch: Launch,
    child: Child,
    port: u16,
}

/// All addresses of this machine, and a port that the system chooses.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How it is started.
struct Launch {
    args: Vec<String>,
    /// Who it is for the API server.
    kubeconfig: Option<PathBuf>,
    /// Further variables of its environment.
    variables: Vec<(String, String)>,
    /// How many files it may open.
    descriptors: Option<u32>,
    /// Where it listens.
    listen: SocketAddr,
}

impl Controller {
    /// Starts one that knows these nodes, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start(nodes: &[TestNode]) -> Result<Self> {
        let controller = Self::start_with(&yaml(nodes)?)?;
        controller.logs(READY)?;
        Ok(controller)
    }

    /// Starts one whose nodes file has this text, and waits until it listens.
    ///
    /// # Errors
    /// It does not listen.
    pub fn start_with(text: &str) -> Result<Self> {
        Self::start_with_flags(text, &[])
    }

    /// Starts one whose nodes file has this text, with further flags, and waits until it listens.
    ///
    /// # Errors
    /// It does not listen.
    pub fn start_with_flags(text: &str, flags: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let nodes = dir.path().join("nodes.yaml");
        fs::write(&nodes, text)?;
        let nodes = nodes.display().to_string();
        let args = [&["--source", "file", "--nodes-file", &nodes], flags].concat();
        Self::listening(dir, Launch::new(&args, None))
    }

    /// Starts one that watches the nodes of a control plane as whoever the kubeconfig names, with further flags, and waits
    /// until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn watching(kubeconfig: &Path, flags: &[&str]) -> Result<Self> {
        let controller = Self::trying_to_watch(kubeconfig, flags)?;
        controller.logs(READY)?;
        Ok(controller)
    }

    /// The same at an address of its own, where the port is that of the chart.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn watching_at(address: Ipv4Addr, kubeconfig: &Path, flags: &[&str]) -> Result<Self> {
        let launch = Launch::new(&[&["--source", "kubernetes"], flags].concat(), Some(kubeconfig));
        let listen = (address, crik_api::DEFAULT_PORT).into();
        let controller = Self::listening(tempfile::tempdir()?, Launch { listen, ..launch })?;
        controller.logs(READY)?;
        Ok(controller)
    }

    /// Starts one that watches the nodes of a control plane if it can, and waits until it listens.
    ///
    /// # Errors
    /// It does not listen.
    pub fn trying_to_watch(kubeconfig: &Path, flags: &[&str]) -> Result<Self> {
        let args = [&["--source", "kubernetes"], flags].concat();
        Self::listening(tempfile::tempdir()?, Launch::new(&args, Some(kubeconfig)))
    }

    /// The same with further variables in its environment.
    ///
    /// # Errors
    /// It does not listen.
    pub fn trying_to_watch_with(kubeconfig: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let launch = Launch::new(&["--source", "kubernetes"], Some(kubeconfig));
        Self::listening(tempfile::tempdir()?, Launch { variables, ..launch })
    }

    /// Starts one that may open so many files at most, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_with_descriptors(limit: u32, nodes: &[TestNode]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("nodes.yaml");
        fs::write(&file, yaml(nodes)?)?;
        let file = file.display().to_string();
        let launch = Launch::new(&["--source", "file", "--nodes-file", &file], None);
        let controller = Self::listening(dir, Launch { descriptors: Some(limit), ..launch })?;
        controller.logs(READY)?;
        Ok(controller)
    }

    /// Starts one that knows these nodes, with further flags, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_flagged(nodes: &[TestNode], flags: &[&str]) -> Result<Self> {
        let controller = Self::start_with_flags(&yaml(nodes)?, flags)?;
        controller.logs(READY)?;
        Ok(controller)
    }

    /// Starts one that knows these nodes and asks the API server of a kubeconfig about tokens, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn asking(kubeconfig: &Path, nodes: &[TestNode], flags: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("nodes.yaml");
        fs::write(&file, yaml(nodes)?)?;
        let file = file.display().to_string();
        let args = [&["--source", "file", "--nodes-file", &file, "--auth", "token"], flags].concat();
        let controller = Self::listening(dir, Launch::new(&args, Some(kubeconfig)))?;
        controller.logs(READY)?;
        Ok(controller)
    }

    /// The value of a metric, by its name with its labels as it stands in the text.
    ///
    /// # Errors
    /// There is no answer, or no such metric.
    pub fn metric(&self, name: &str) -> Result<f64> {
        metric(&get(&self.url("/metrics"))?.body, name)
    }

    /// Waits until a metric has a value.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn metric_becomes(&self, name: &str, value: f64) -> Result<()> {
        let is = || self.metric(name).is_ok_and(|now| (now - value).abs() < 0.5).then_some(());
        wait_for(&format!("{name} to become {value}"), is).with_context(|| self.log())
    }

    fn listening(dir: tempfile::TempDir, launch: Launch) -> Result<Self> {
        let child = launch.start(&dir)?;
        let mut controller = Self { dir, launch, child, port: 0 };
        controller.port = wait_for("the controller to listen", || port(&controller.log()))
            .with_context(|| controller.log())?;
        controller.launch.listen.set_port(controller.port);
        Ok(controller)
    }

    /// Replaces the nodes, at once.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_nodes(&self, nodes: &[TestNode]) -> Result<()> {
        self.set_text(&yaml(nodes)?)
    }

    /// Replaces the text of the nodes file, at once.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_text(&self, text: &str) -> Result<()> {
        let partial = self.dir.path().join("nodes.partial");
        fs::write(&partial, text)?;
        Ok(fs::rename(partial, self.dir.path().join("nodes.yaml"))?)
    }

    /// The file that its nodes are in.
    pub fn nodes_file(&self) -> PathBuf {
        self.dir.path().join("nodes.yaml")
    }

    /// The status of a node, as the API tells it.
    ///
    /// # Errors
    /// There is no answer, or another than 200.
    pub fn status(&self, name: &str) -> Result<NodeStatus> {
        let answer = get(&self.url(&format!("/v1/nodes/{name}")))?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Waits until a node has a state.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn becomes(&self, name: &str, state: NodeState) -> Result<()> {
        wait_for(&format!("{name} to become {state}"), || {
            self.status(name).is_ok_and(|status| status.state == state).then_some(())
        })
    }

    /// Waits until something is in the log.
    ///
    /// # Errors
    /// It does not come.
    pub fn logs(&self, text: &str) -> Result<()> {
        wait_for(&format!("{text:?} in the log"), || self.log().contains(text).then_some(()))
            .with_context(|| self.log())
    }

    /// Its port, on all addresses of this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address on the loopback.
    pub fn ip(&self) -> Ipv4Addr {
        match self.launch.listen.ip() {
            IpAddr::V4(own) if !own.is_unspecified() => own,
            _ => Ipv4Addr::LOCALHOST,
        }
    }

    /// Where it has something.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.ip(), self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and starts another on the same port with the same nodes.
    ///
    /// # Errors
    /// It does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = self.launch.start(&self.dir)?;
        self.logs(READY)
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// It has ended already.
    pub fn terminate(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        wait_for("the controller to end", || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- controller\n{}", self.log());
        }
    }
}

impl Launch {
    fn new(args: &[&str], kubeconfig: Option<&Path>) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self {
            args,
            kubeconfig: kubeconfig.map(Path::to_owned),
            variables: Vec::new(),
            descriptors: None,
            listen: ANYWHERE,
        }
    }

    fn start(&self, dir: &tempfile::TempDir) -> Result<Child> {
        let program = cargo_bin("crik-controller", "crik-controller", &[])?;
        let mut command = Command::new(&program);
        if let Some(limit) = self.descriptors {
            command = Command::new("prlimit");
            command.arg(format!("--nofile={limit}")).arg(&program);
        }
        command
            .args(["--listen", &self.listen.to_string()])
            .args(&self.args)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log"))?);
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        Ok(command.spawn()?)
    }
}

/// The value of a metric in the text of all of them.
///
/// # Errors
/// It is not there.
pub fn metric(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name} in {text}"))?.parse()?)
}

fn port(log: &str) -> Option<u16> {
    // Up to the last line's end: a number that is half written is a number too.
    let (whole, _) = log.rsplit_once('\n')?;
    let line = whole.lines().find(|line| line.contains("listening"))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}
