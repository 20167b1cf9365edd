//! Pods: real OCI containers, run by runc as a kubelet's runtime would run them; what they are made from, what comes out of
//! them, and what suites do with them again and again.

mod bundle;
pub mod chain;
mod console;
pub mod crik;
mod kubelet;
pub mod network;
pub mod node;
pub mod output;
pub mod rootfs;
mod running;
mod sandbox;
pub mod spec;
pub mod story;
pub mod throttled;
pub mod ticks;
pub mod volume;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use self::bundle::Bundle;
use self::kubelet::PodVolume;
use self::network::Network;
use self::node::{Boots, Node};
pub use self::running::{Process, Running};
use self::sandbox::Sandbox;
use self::spec::Spec;
use self::volume::{MOUNT, PodCount, Volume};
use crate::build::{cargo_bin, with_capabilities};

/// What pods of a workload are made from. Start it as often as you like.
///
/// - A pod that got its SIGTERM is deleted. The next start is another pod on another node: booted 26 hours later, and the one
///   after that earlier again ([`Boots`]); with another boot id, address, subnet, host name, environment, resolver and
///   oom_score_adj; with a fresh layer, an empty /dev/shm, empty [`empty_dir`](Self::empty_dir)s, and
///   [`config_map`](Self::config_map)s of another date.
/// - When its container has ended in any other way, the next start is a container in the same pod, as the kubelet restarts
///   one: only the layer is fresh.
/// - A pod whose template is changed, by any of the methods that take `self`, is another pod.
#[derive(Clone)]
pub struct Pod {
    spec: Spec,
    config: String,
    hosts: String,
    volume: PathBuf,
    binary: Option<PathBuf>,
    layers: Vec<PathBuf>,
    network: Option<Network>,
    volumes: Vec<(String, PodVolume)>,
    placement: Placement,
    /// The uid of its object, if an API server knows it.
    uid: Option<String>,
    current: Arc<Mutex<Option<Arc<Sandbox>>>>,
}

/// Which nodes the pods of a workload come to.
#[derive(Clone)]
struct Placement {
    first: String,
    boots: Boots,
    same_name: bool,
    /// The one that the next pod comes to, whatever else is said.
    node: Option<Node>,
    pods: PodCount,
}

impl Placement {
    fn next(&self, pod: &str) -> Result<Node> {
        let number = self.pods.next(pod);
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let node = Node::nth(&self.first, number, self.boots)?;
        Ok(if self.same_name { node.named(&self.first) } else { node })
    }
}

impl Pod {
    /// A pod named `job-0`, which runs `command` under `crik` with the image directory `/checkpoints/job-0`. The first pod on
    /// this volume comes to `node`, the second to the one after it in the alphabet, and so on.
    pub fn new(volume: &Volume, node: &str, command: &[&str]) -> Self {
        let mut spec = Spec::new("job-0");
        spec.command(&["crik", "run", "--"], command);
        let account = [("token", "the token\n"), ("ca.crt", "the authority\n"), ("namespace", "default\n")];
        let account = account.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Self {
            spec,
            config: "imageDir: /checkpoints/${POD_NAME}\n".to_owned(),
            hosts: String::new(),
            volume: volume.path().into(),
            binary: None,
            layers: Vec::new(),
            network: None,
            volumes: vec![(ACCOUNT.to_owned(), PodVolume::Secret(account.into()))],
            placement: Placement {
                first: node.to_owned(),
                boots: Boots::wanted(),
                same_name: false,
                node: None,
                pods: volume.pods(),
            },
            uid: None,
            current: Arc::default(),
        }
    }

    /// Another pod of the same kind, while this one may still be there.
    #[must_use]
    pub fn replacement(&self) -> Self {
        Self { current: Arc::default(), uid: None, ..self.clone() }
    }

    /// The pod whose object in an API server has this uid.
    #[must_use]
    pub fn known_as(&self, uid: &str) -> Self {
        Self { uid: Some(uid.to_owned()), ..self.replacement() }
    }

    /// Another pod of the same kind on this node.
    #[must_use]
    pub fn replacement_on(&self, node: Node) -> Self {
        let placement = Placement { node: Some(node), ..self.placement.clone() };
        Self { placement, ..self.replacement() }
    }

    /// The same with another volume in the place of its own.
    #[must_use]
    pub fn on(&self, volume: &Volume) -> Self {
        let placement = Placement { pods: volume.pods(), ..self.placement.clone() };
        Self { volume: volume.path().into(), placement, ..self.replacement() }
    }

    /// Which clocks the nodes have that its pods come to.
    #[must_use]
    pub fn boots(self, boots: Boots) -> Self {
        let placement = Placement { boots, ..self.placement.clone() };
        Self { placement, ..self.replacement() }
    }

    /// Every node that comes in the place of another has its name, as a machine has that a managed group makes anew.
    #[must_use]
    pub fn same_node_name(self) -> Self {
        let placement = Placement { same_name: true, ..self.placement.clone() };
        Self { placement, ..self.replacement() }
    }

    /// Mounts an empty directory of the pod's.
    #[must_use]
    pub fn empty_dir(self, path: &str) -> Self {
        self.mounting(path, PodVolume::EmptyDir)
    }

    /// Mounts one that is in memory.
    #[must_use]
    pub fn memory_dir(self, path: &str) -> Self {
        self.mounting(path, PodVolume::MemoryDir)
    }

    /// Mounts a ConfigMap with these files.
    #[must_use]
    pub fn config_map(self, path: &str, files: &[(&str, &str)]) -> Self {
        self.mounting(path, PodVolume::ConfigMap(owned(files)))
    }

    /// Mounts a Secret with these files.
    #[must_use]
    pub fn secret(self, path: &str, files: &[(&str, &str)]) -> Self {
        self.mounting(path, PodVolume::Secret(owned(files)))
    }

    fn mounting(self, path: &str, volume: PodVolume) -> Self {
        let mut other = self.replacement();
        other.volumes.push((path.to_owned(), volume));
        other
    }

    /// Adds lines to the configuration.
    #[must_use]
    pub fn config(self, yaml: &str) -> Self {
        Self { config: format!("{}{yaml}\n", self.config), ..self.replacement() }
    }

    /// Sets a key of the configuration, which may have it already, by a line that begins with it.
    #[must_use]
    pub fn set_config(self, line: &str) -> Self {
        let key = line.split_once(':').map_or(line, |(key, _)| key);
        let is_other = |other: &&str| !other.starts_with(&format!("{key}:"));
        let others: String = self.config.lines().filter(is_other).map(|other| format!("{other}\n")).collect();
        self.only_config(&others).config(line)
    }

    /// Replaces the configuration.
    #[must_use]
    pub fn only_config(self, yaml: &str) -> Self {
        Self { config: yaml.to_owned(), ..self.replacement() }
    }

    /// How checkpoints are kept is what the volume is fast enough for, unless somebody says it. All that holds of one form holds of the other,
    /// and whole suites are run for either.
    fn whole_config(&self) -> String {
        let says = |key: &str| self.config.lines().any(|line| line.starts_with(key));
        let is_in_a_bucket =
            self.config.lines().any(|line| line.starts_with("imageDir:") && line.contains("://"));
        if !says("imageDir:") || is_in_a_bucket || says("format:") || says("encryptionKeyFile:") {
            return self.config.clone();
        }
        let format = std::env::var(FORMAT);
        format!("{}\nformat: {}\n", self.config, format.as_deref().unwrap_or("plain"))
    }

    /// Changes the container.
    #[must_use]
    pub fn with(self, change: impl FnOnce(&mut Spec)) -> Self {
        let mut other = self.replacement();
        change(&mut other.spec);
        other
    }

    /// Uses another build of `crik`.
    #[must_use]
    pub fn binary(self, path: &Path) -> Self {
        Self { binary: Some(path.into()), ..self.replacement() }
    }

    /// Runs as this user, with `crik` as the agent's image has it and a volume that the kubelet has given to the user's group:
    /// `runAsUser`, `runAsNonRoot` and `fsGroup`.
    ///
    /// # Errors
    /// `crik` cannot be built, or not be given its capabilities.
    pub fn ordinary_user(self, user: u32) -> Result<Self> {
        let pod = self.binary(&with_capabilities(&cargo_bin("crik-agent", "crik", &[])?)?);
        Ok(pod.with(|spec| {
            spec.user = user;
            spec.volume_group = Some(user);
        }))
    }

    /// Has another layer of its image above the others.
    #[must_use]
    pub fn layer(self, path: &Path) -> Self {
        let mut other = self.replacement();
        other.layers.push(path.into());
        other
    }

    /// Connects it to this machine.
    #[must_use]
    pub fn network(self, network: &Network) -> Self {
        Self { network: Some(network.clone()), ..self.replacement() }
    }

    /// Names for addresses, in the form of hosts(5).
    #[must_use]
    pub fn hosts(self, lines: &str) -> Self {
        Self { hosts: format!("{}{lines}", self.hosts), ..self.replacement() }
    }

    /// Starts a container: in this pod if there is one that was not deleted, and otherwise in a new one.
    ///
    /// # Errors
    /// A tool is missing, or runc refuses.
    pub fn start(&self) -> Result<Running> {
        // The runtime's shim is a subreaper, so that a container's exit status comes to it; so are we.
        nix::sys::prctl::set_child_subreaper(true)?;
        let (pod, bundle) = (self.sandbox()?, Bundle::new(&self.spec.root, &self.layers)?);
        let binary = self.binary.clone().map_or_else(|| cargo_bin("crik-agent", "crik", &[]), Ok)?;
        if let Some(group) = self.spec.volume_group {
            kubelet::give_to(group, &self.volume)?;
        }
        let mut mounts = pod.mounts(&self.hosts)?;
        mounts.push((binary, "/usr/local/bin/crik".to_owned(), "ro"));
        mounts.push((self.volume.clone(), MOUNT.to_owned(), "rw"));
        let boot_id = bundle.path("boot_id");
        fs::write(&boot_id, format!("{}\n", pod.node.boot_id))?;
        let spec = self.spec.to_oci(&bundle.path("root"), &boot_id, &mounts, &bundle.id, &pod);
        fs::write(bundle.path("config.json"), serde_json::to_vec(&spec)?)?;
        Running::launch(bundle, pod, self.spec.input)
    }

    fn sandbox(&self) -> Result<Arc<Sandbox>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pod) = current.as_ref().filter(|pod| !pod.is_deleted()) {
            return Ok(Arc::clone(pod));
        }
        let config = PodVolume::ConfigMap(owned(&[("config.yaml", &self.whole_config())]));
        let volumes = [&[("/etc/crik".to_owned(), config)][..], &self.volumes].concat();
        let pod = Sandbox::new(
            &self.spec.name,
            self.placement.next(&self.spec.name)?,
            self.network.as_ref(),
            &volumes,
            self.uid.as_deref(),
        )?;
        Ok(Arc::clone(current.insert(Arc::new(pod))))
    }
}

/// Variable: how checkpoints are kept where a test says nothing of it; plain if it is not set.
pub(crate) const FORMAT: &str = "CRIK_TESTS_FORMAT";

/// Where every pod has the token of its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
}
