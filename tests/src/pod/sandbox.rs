//! A pod on its node: what lives as long as the pod, whatever becomes of its containers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::kubelet::{Made, PodVolume};
use super::network::{Link, Network};
use super::node::Node;
use crate::build::workspace;

/// One pod. All of it is removed when the last container and the pod itself are dropped.
pub struct Sandbox {
    /// Where it is.
    pub node: Node,
    /// Its host name, which is another one for each, as for pods of a Job.
    pub host_name: String,
    /// Its address.
    pub address: String,
    /// Its link to this machine, if it has one.
    pub link: Option<Link>,
    uid: String,
    /// Unmounted before the directory is removed.
    volumes: Vec<(Made, String, &'static str)>,
    shared_memory: Made,
    dir: tempfile::TempDir,
    deleted: AtomicBool,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Sandbox {
    /// A pod of this name on a node, with these volumes at these paths, and with this uid or any.
    ///
    /// # Errors
    /// Its directory cannot be made, or iproute2 refuses.
    pub fn new(
        name: &str,
        node: Node,
        network: Option<&Network>,
        volumes: &[(String, PodVolume)],
        uid: Option<&str>,
    ) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::Builder::new().prefix("crik-node-").tempdir_in("/var/tmp")?;
        let uid = uid.map_or_else(|| format!("uid-{}-{number}", process::id()), str::to_owned);
        let pod = dir.path().join("pods").join(&uid);
        let volumes = volumes.iter().enumerate().map(|(index, (path, volume))| {
            Ok((volume.make(&pod, &format!("volume-{index}"))?, path.clone(), volume.mode()))
        });
        let volumes = volumes.collect::<Result<Vec<_>>>()?;
        let link = network.map(Network::link).transpose()?;
        let own = || format!("10.244.{}.{}", node.subnet, 2 + number % 250);
        Ok(Self {
            host_name: format!(
                "{name}-{:05x}",
                number.wrapping_mul(7919).wrapping_add(process::id()) & 0xf_ffff
            ),
            address: link.as_ref().map_or_else(own, |link| link.address().to_owned()),
            link,
            uid,
            volumes,
            // As large as a container runtime makes it, and shared by all containers of the pod.
            shared_memory: Made::in_memory(dir.path().join("shm"), "mode=1777,size=65536k")?,
            dir,
            node,
            deleted: AtomicBool::new(false),
        })
    }

    /// The pod gets its SIGTERM, so it is never started again.
    pub fn delete(&self) {
        self.deleted.store(true, Ordering::Relaxed);
    }

    /// True for a pod that was told to stop.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed)
    }

    /// Updates the ConfigMap or Secret at `path`, which must have the same files.
    ///
    /// # Errors
    /// There is none, or it cannot be written.
    pub fn update(&self, path: &str, files: &[(String, String)]) -> Result<()> {
        let found = self.volumes.iter().find(|(_, at, _)| at == path);
        let (made, ..) = found.with_context(|| format!("the pod has nothing at {path}"))?;
        PodVolume::update(made, files)
    }

    /// Where the kubelet reads the last words of its containers.
    pub fn termination_log(&self) -> PathBuf {
        self.dir.path().join("pods").join(&self.uid).join("containers/app/termination-log")
    }

    /// What is mounted into each of its containers, from where, to where, and how; `hosts` are further lines of its hosts(5).
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn mounts(&self, hosts: &str) -> Result<Vec<(PathBuf, String, &'static str)>> {
        let pod = self.dir.path().join("pods").join(&self.uid);
        let of_runtime = self.dir.path().join("sandboxes").join(&self.uid);
        let (address, name, subnet) = (&self.address, &self.host_name, self.node.subnet);
        let hosts =
            format!("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n{address}\t{name}\n{hosts}");
        let resolver = format!(
            "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.{subnet}.10\noptions ndots:5\n"
        );
        let files = [
            (pod.join("etc-hosts"), hosts, "/etc/hosts"),
            (self.termination_log(), String::new(), "/dev/termination-log"),
            (of_runtime.join("hostname"), format!("{name}\n"), "/etc/hostname"),
            (of_runtime.join("resolv.conf"), resolver, "/etc/resolv.conf"),
        ];
        let mut mounts = Vec::new();
        for (file, text, to) in files {
            write_once(&file, &text)?;
            mounts.push((file, to.to_owned(), "rw"));
        }
        mounts.push((self.shared_memory.dir.clone(), "/dev/shm".to_owned(), "rw"));
        mounts.push((workspace().join("tests/programs"), "/programs".to_owned(), "ro"));
        mounts.extend(self.volumes.iter().map(|(made, to, mode)| (made.dir.clone(), to.clone(), *mode)));
        Ok(mounts)
    }

    /// What the kubelet tells a container of the cluster and of the pod.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let service = format!("10.96.{}.1", self.node.subnet);
        vec![
            ("HOSTNAME", self.host_name.clone()),
            ("KUBERNETES_NODE_NAME", self.node.name.clone()),
            ("KUBERNETES_PORT", format!("tcp://{service}:443")),
            ("KUBERNETES_SERVICE_HOST", service),
            ("KUBERNETES_SERVICE_PORT", "443".to_owned()),
            ("POD_IP", self.address.clone()),
        ]
    }
}

/// What a container has changed stays for the pod's next one.
fn write_once(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("no parent")?)?;
    if path.exists() {
        return Ok(());
    }
    fs::write(path, text)?;
    // The kubelet lets any user write the last words (pkg/kubelet/kubelet_pods.go); the others are the same for all.
    Ok(fs::set_permissions(path, Permissions::from_mode(0o666))?)
}
