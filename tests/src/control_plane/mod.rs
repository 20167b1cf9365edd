//! A real control plane: etcd and kube-apiserver on the loopback, with RBAC, and certificates of its own.
//!
//! Each has its own ports and its own directory, so any number run at once. There is no controller manager: what a test
//! needs beyond the API server's own objects (a ServiceAccount `default`, for one) it creates. [`Setup`] changes what a
//! cluster of kubelets needs otherwise.

mod api;
mod certificates;
mod daemon;
mod etcd;
mod evictions;
mod jwt;
mod kubeconfig;
mod nodes;
mod ports;
mod tokens;
pub mod watched;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

pub use self::api::{Api, PatchKind};
pub use self::certificates::{Certificates, Pair};
pub use self::daemon::Daemon;
use self::etcd::Etcd;
pub use self::evictions::{Evicted, Evictor};
pub use self::kubeconfig::Identity;
pub use self::ports::Port;
pub use self::tokens::{Account, TokenRequest};
use crate::tools::tool;

/// Who may do everything (RBAC's bootstrap policy).
const ADMIN_GROUP: &str = "system:masters";

/// How a control plane is to differ from the usual one.
pub struct Setup {
    /// The address to serve on and to tell others; pods do not reach the loopback's.
    pub address: IpAddr,
    /// Further flags of kube-apiserver.
    pub flags: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), flags: Vec::new() }
    }
}

/// A control plane, ended when this is dropped.
pub struct ControlPlane {
    api: Api,
    server: Daemon,
    etcd: Etcd,
    certificates: Certificates,
    address: IpAddr,
    port: Port,
    took: Duration,
    /// Last, so that it is removed when all have ended.
    directory: tempfile::TempDir,
}

/// A further API server, ended when this is dropped.
pub struct AnotherServer {
    _server: Daemon,
    port: Port,
}

impl AnotherServer {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

impl ControlPlane {
    /// Starts one, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready; the message has the log's last lines.
    pub fn start() -> Result<Self> {
        Self::start_with(&Setup::default())
    }

    /// Starts one that differs.
    ///
    /// # Errors
    /// It does not get ready; the message has the log's last lines.
    pub fn start_with(setup: &Setup) -> Result<Self> {
        // Else the first one pays for the build.
        tool("kube-apiserver")?;
        let began = Instant::now();
        let directory = tempfile::Builder::new().prefix("crik-control-plane-").tempdir()?;
        let certificates = Certificates::new(&directory.path().join("pki"))?;
        let etcd = Etcd::start(directory.path())?;
        let port = Port::take()?;
        let admin = certificates.client("admin", "admin", Some(ADMIN_GROUP))?;
        let url = url(setup.address, &port);
        let config = directory.path().join("admin.kubeconfig");
        kubeconfig::write(&config, &url, &certificates.path("ca.crt"), &Identity::Certificate(&admin))?;
        let flags = flags(setup, &certificates, &etcd.url(), &port)?;
        let server = Daemon::start("kube-apiserver", flags, directory.path())?;
        let api = Api::new(&config)?;
        let (address, took) = (setup.address, Duration::ZERO);
        let mut plane = Self { api, server, etcd, certificates, address, port, took, directory };
        plane.wait_until_ready()?;
        plane.took = began.elapsed();
        eprintln!("a control plane was ready in {:.1} s", plane.took.as_secs_f64());
        Ok(plane)
    }

    /// How long it took to get ready.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        url(self.address, &self.port)
    }

    /// The API server's port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A kubeconfig of someone who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("admin.kubeconfig")
    }

    /// A kubeconfig of someone else, for the API server at its own address.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn kubeconfig_for(&self, name: &str, identity: &Identity<'_>) -> Result<PathBuf> {
        self.kubeconfig_at(name, identity, &self.url())
    }

    /// A kubeconfig of someone else, for the API server as it is reached by way of another address.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn kubeconfig_at(&self, name: &str, identity: &Identity<'_>, url: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(format!("{name}.kubeconfig"));
        kubeconfig::write(&path, url, &self.certificates.path("ca.crt"), identity)
    }

    /// Its directory, for files that go with it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its certificate authority.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Requests of someone who may do everything.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Its database.
    pub fn etcd(&mut self) -> &mut Etcd {
        &mut self.etcd
    }

    /// Runs kubectl as someone who may do everything, and returns what it printed.
    ///
    /// # Errors
    /// It failed, which tells what it said.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.run("kubectl", args)
    }

    /// Runs helm likewise.
    ///
    /// # Errors
    /// It failed, which tells what it said.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        self.run("helm", args)
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<String> {
        let output = Command::new(tool(name)?)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            // What they keep on disk is kept with the control plane.
            .env("HOME", self.directory.path())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} {} failed: {}", args.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Kills the API server, as a machine that dies does.
    pub fn kill_server(&mut self) {
        self.server.kill();
    }

    /// Starts the API server again on the same port, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn restart_server(&mut self) -> Result<()> {
        self.server.kill();
        self.server.launch()?;
        self.wait_until_ready()
    }

    /// The API server's process: to signal it, or to read its log.
    pub fn server(&self) -> &Daemon {
        &self.server
    }

    /// Another API server of the same cluster, which reaches etcd by way of this address.
    ///
    /// # Errors
    /// It does not get ready; the message has the log's last lines.
    pub fn another_server(&self, etcd: SocketAddr) -> Result<AnotherServer> {
        let (port, setup) = (Port::take()?, Setup { address: self.address, flags: Vec::new() });
        let directory = self.directory.path().join(format!("another-{}", port.number()));
        fs::create_dir(&directory)?;
        let flags = flags(&setup, &self.certificates, &format!("http://{etcd}"), &port)?;
        let mut server = Daemon::start("kube-apiserver", flags, &directory)?;
        let admin = self.certificates.client("another-admin", "admin", Some(ADMIN_GROUP))?;
        let url = url(self.address, &port);
        let config = self.kubeconfig_at("another", &Identity::Certificate(&admin), &url)?;
        let api = Api::new(&config)?;
        server.wait_until("another API server to be ready", || {
            api.text("/readyz").is_ok_and(|text| text == "ok")
        })?;
        Ok(AnotherServer { port, _server: server })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let api = &self.api;
        self.server
            .wait_until("the API server to be ready", || api.text("/readyz").is_ok_and(|text| text == "ok"))
            .context("no control plane")
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- kube-apiserver\n{}", self.server.last_words());
        }
    }
}

fn url(address: IpAddr, port: &Port) -> String {
    format!("https://{}", SocketAddr::new(address, port.number()))
}

/// The flags of kube-apiserver: what kubeadm gives it, as far as there is such a thing here.
fn flags(setup: &Setup, certificates: &Certificates, etcd: &str, port: &Port) -> Result<Vec<String>> {
    let names = ["127.0.0.1", "localhost", "10.96.0.1", "kubernetes.default.svc"].map(str::to_owned);
    let server = certificates.server("apiserver", &[&names[..], &[setup.address.to_string()]].concat())?;
    let kubelets = certificates.client("kubelet-client", "kube-apiserver", Some(ADMIN_GROUP))?;
    let file = |name: &str| certificates.path(name).display().to_string();
    let mut flags = [
        ("etcd-servers", etcd.to_owned()),
        ("bind-address", setup.address.to_string()),
        ("advertise-address", setup.address.to_string()),
        ("secure-port", port.number().to_string()),
        ("tls-cert-file", server.certificate.display().to_string()),
        ("tls-private-key-file", server.key.display().to_string()),
        ("client-ca-file", file("ca.crt")),
        ("kubelet-client-certificate", kubelets.certificate.display().to_string()),
        ("kubelet-client-key", kubelets.key.display().to_string()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", file("accounts.pub")),
        ("service-account-signing-key-file", file("accounts.key")),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        ("allow-privileged", "true".to_owned()),
        ("profiling", "false".to_owned()),
        // Tests end it while polls and watches are open, and do not wait for them.
        ("shutdown-delay-duration", "0s".to_owned()),
    ]
    .map(|(name, value)| format!("--{name}={value}"))
    .to_vec();
    if setup.address.is_loopback() {
        // An endpoint may not be on the loopback, so there would be an error every ten seconds.
        flags.push("--endpoint-reconciler-type=none".to_owned());
    }
    flags.extend(setup.flags.iter().cloned());
    Ok(flags)
}
