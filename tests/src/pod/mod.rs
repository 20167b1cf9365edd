//! Pods: real OCI containers, run by runc as a kubelet's runtime would run them; what they are made from, what comes out of
//! them, and what suites do with them again and again.

mod bundle;
pub mod chain;
pub mod network;
pub mod output;
pub mod rootfs;
mod running;
pub mod spec;
pub mod story;
pub mod volume;

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use self::bundle::Bundle;
use self::network::Network;
pub use self::running::{Process, Running};
use self::spec::Spec;
use self::volume::{MOUNT, Volume};
use crate::build::{cargo_bin, workspace};

/// What a pod is made from. Start it as often as you like; each time its container is started anew, as the kubelet does when
/// it has ended.
#[derive(Clone)]
pub struct Pod {
    spec: Spec,
    config: String,
    hosts: String,
    volume: PathBuf,
    binary: Option<PathBuf>,
    uid: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Pod {
    /// A pod named `job-0` on `node`, which runs `command` under `crik` with the image directory `/checkpoints/job-0`.
    pub fn new(volume: &Volume, node: &str, command: &[&str]) -> Self {
        let mut spec = Spec::new("job-0", node);
        spec.command(&["crik", "run", "--"], command);
        Self {
            spec,
            config: "imageDir: /checkpoints/${POD_NAME}\n".to_owned(),
            hosts: String::new(),
            volume: volume.path().into(),
            binary: None,
            uid: uid(),
        }
    }

    /// The pod that takes this one's place: the same in all but its uid.
    #[must_use]
    pub fn replacement(&self) -> Self {
        Self { uid: uid(), ..self.clone() }
    }

    /// The same pod with another volume in the place of its own.
    #[must_use]
    pub fn on(&self, volume: &Volume) -> Self {
        Self { volume: volume.path().into(), ..self.clone() }
    }

    /// Adds lines to the configuration.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        self.config += yaml;
        self.config.push('\n');
        self
    }

    /// Replaces the configuration.
    #[must_use]
    pub fn only_config(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.config);
        self
    }

    /// Changes the container.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Uses another build of `crik`.
    #[must_use]
    pub fn binary(mut self, path: &Path) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Connects it to this machine.
    #[must_use]
    pub fn network(mut self, network: &Network) -> Self {
        self.spec.network = Some(network.path());
        self
    }

    /// Names for addresses, in the form of hosts(5).
    #[must_use]
    pub fn hosts(mut self, lines: &str) -> Self {
        self.hosts += lines;
        self
    }

    /// Starts a container.
    ///
    /// # Errors
    /// A tool is missing, or runc refuses.
    pub fn start(&self) -> Result<Running> {
        // The runtime's shim is a subreaper, so that a container's exit status comes to it; so are we.
        nix::sys::prctl::set_child_subreaper(true)?;
        let id = format!("crik-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let bundle = Bundle::new(&id)?;
        let binary = self.binary.clone().map_or_else(|| cargo_bin("crik-agent", "crik", &[]), Ok)?;
        fs::write(bundle.path("config.yaml"), &self.config)?;
        let [hosts, termination_log] = self.kubelet_files(&bundle)?;
        let mounts = [
            (hosts, "/etc/hosts", "rw"),
            (termination_log, "/dev/termination-log", "rw"),
            (binary, "/usr/local/bin/crik", "ro"),
            (bundle.path("config.yaml"), "/etc/crik/config.yaml", "ro"),
            (workspace().join("tests/programs"), "/programs", "ro"),
            (self.volume.clone(), MOUNT, "rw"),
        ];
        let spec = self.spec.to_oci(&bundle.path("root"), &mounts, &id);
        fs::write(bundle.path("config.json"), serde_json::to_vec(&spec)?)?;
        Running::launch(bundle)
    }

    /// The files that a kubelet mounts into every container from the pod's own directory, whose name has the pod's uid.
    fn kubelet_files(&self, bundle: &Bundle) -> Result<[PathBuf; 2]> {
        let pod = bundle.path("pods").join(&self.uid);
        let files = [pod.join("etc-hosts"), pod.join("containers/app/termination-log")];
        for file in &files {
            fs::create_dir_all(file.parent().context("no parent")?)?;
            fs::write(file, "")?;
        }
        fs::write(&files[0], &self.hosts)?;
        Ok(files)
    }
}

/// Another one for each pod.
fn uid() -> String {
    format!("uid-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
