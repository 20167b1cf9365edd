//! The container that a kubelet asks its runtime for, as an OCI runtime specification.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A container's variable parts.
#[derive(Clone)]
pub struct Spec {
    /// The pod's name, which is its host name.
    pub name: String,
    args: Vec<String>,
    env: Vec<String>,
    /// Its capabilities.
    pub capabilities: Vec<String>,
    /// Its network namespace; one of its own without a link if there is none.
    pub network: Option<String>,
    /// True for a read-only root file system.
    pub read_only: bool,
    /// A seccomp profile, in the specification's form.
    pub seccomp: Option<Value>,
    /// More mounts, in the specification's form.
    pub mounts: Vec<Value>,
    /// Bytes of memory that it may have.
    pub memory_limit: Option<u64>,
}

/// What a container runtime gives when a pod asks for nothing.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What crik asks for besides.
const ADDED_CAPABILITIES: [&str; 2] = ["CAP_CHECKPOINT_RESTORE", "CAP_SYS_PTRACE"];

impl Spec {
    /// A pod of this name on this node, with the default capabilities and the two.
    pub fn new(name: &str, node: &str) -> Self {
        Self {
            name: name.to_owned(),
            args: Vec::new(),
            env: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
                format!("POD_NAME={name}"),
                format!("KUBERNETES_NODE_NAME={node}"),
                "PYTHONDONTWRITEBYTECODE=1".to_owned(),
            ],
            capabilities: DEFAULT_CAPABILITIES
                .iter()
                .chain(&ADDED_CAPABILITIES)
                .map(|&name| name.to_owned())
                .collect(),
            network: None,
            read_only: false,
            seccomp: None,
            mounts: Vec::new(),
            memory_limit: None,
        }
    }

    /// Sets the command line.
    pub fn command(&mut self, before: &[&str], command: &[&str]) {
        self.args = before.iter().chain(command).map(|&arg| arg.to_owned()).collect();
    }

    /// Sets an environment variable.
    pub fn env(&mut self, name: &str, value: &str) {
        let prefix = format!("{name}=");
        self.env.retain(|variable| !variable.starts_with(&prefix));
        self.env.push(prefix + value);
    }

    /// The whole specification.
    pub fn to_oci(&self, root: &Path, binds: &[(PathBuf, &str, &str)], id: &str) -> Value {
        let caps = &self.capabilities;
        let mut mounts = base_mounts();
        mounts.extend(binds.iter().map(|(from, to, mode)| bind(from, to, mode)));
        mounts.extend(self.mounts.iter().cloned());
        json!({
            "ociVersion": "1.0.2",
            "hostname": self.name,
            "root": {"path": root, "readonly": self.read_only},
            "process": {
                "args": self.args,
                "env": self.env,
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            },
            "mounts": mounts,
            "linux": {
                "cgroupsPath": format!("/{id}"),
                "namespaces": self.namespaces(),
                "seccomp": self.seccomp,
                "resources": {"memory": {"limit": self.memory_limit}},
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        })
    }

    fn namespaces(&self) -> Vec<Value> {
        let mut all: Vec<Value> =
            ["pid", "mount", "ipc", "uts"].iter().map(|kind| json!({"type": kind})).collect();
        all.push(match &self.network {
            Some(path) => json!({"type": "network", "path": path}),
            None => json!({"type": "network"}),
        });
        all
    }
}

/// A bind mount.
pub fn bind(from: &Path, to: &str, mode: &str) -> Value {
    json!({"type": "bind", "source": from, "destination": to, "options": ["rbind", mode]})
}

fn base_mounts() -> Vec<Value> {
    let mount = |kind: &str, to: &str, options: &[&str]| json!({"type": kind, "source": kind, "destination": to, "options": options});
    vec![
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("devpts", "/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        mount("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}
