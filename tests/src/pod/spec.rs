//! The container that a kubelet asks its runtime for, as an OCI runtime specification.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::rootfs::Root;
use super::sandbox::Sandbox;

/// A container's variable parts.
#[derive(Clone)]
pub struct Spec {
    /// The pod's name.
    pub name: String,
    args: Vec<String>,
    env: Vec<String>,
    /// Its capabilities.
    pub capabilities: Vec<String>,
    /// The user that its first process runs as.
    pub user: u32,
    /// What it finds at `/`.
    pub root: Root,
    /// Whether it has a user namespace of its own, as with `hostUsers: false`.
    pub user_namespace: bool,
    /// True for a read-only root file system.
    pub read_only: bool,
    /// A seccomp profile, in the specification's form.
    pub seccomp: Option<Value>,
    /// More mounts, in the specification's form.
    pub mounts: Vec<Value>,
    /// Bytes of memory that it may have.
    pub memory_limit: Option<u64>,
    /// Its weight for processor time where it has to share with what else runs on the machine; 1024 is the runtime's.
    pub cpu_shares: Option<u64>,
    /// The PID namespace of another container, as with `shareProcessNamespace: true`.
    pub pid_namespace: Option<PathBuf>,
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
    /// A pod of this name, with the default capabilities and the two.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            args: Vec::new(),
            env: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
                format!("POD_NAME={name}"),
                "PYTHONDONTWRITEBYTECODE=1".to_owned(),
            ],
            capabilities: DEFAULT_CAPABILITIES
                .iter()
                .chain(&ADDED_CAPABILITIES)
                .map(|&name| name.to_owned())
                .collect(),
            user: 0,
            root: Root::Small,
            user_namespace: false,
            read_only: false,
            seccomp: None,
            mounts: Vec::new(),
            memory_limit: None,
            cpu_shares: None,
            pid_namespace: None,
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

    /// The whole specification of a container of this pod, whose root file system and boot id are here.
    pub fn to_oci(&self, root: &Path, boot_id: &Path, mounts: &[Mount], id: &str, pod: &Sandbox) -> Value {
        let caps = &self.capabilities;
        let mut all = base_mounts();
        all.extend(mounts.iter().map(|(from, to, mode)| bind(from, to, mode)));
        all.extend(self.mounts.iter().cloned());
        let offset = json!({"secs": pod.node.ahead.as_secs(), "nanosecs": 0});
        json!({
            "ociVersion": "1.2.0",
            "hostname": pod.host_name,
            "root": {"path": root, "readonly": self.read_only},
            "process": {
                "args": self.args,
                "env": self.environment(pod),
                "cwd": "/",
                "user": {"uid": self.user, "gid": self.user},
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
                "oomScoreAdj": pod.node.oom_score_adj,
            },
            "mounts": all,
            "hooks": {"createContainer": [hook(root, boot_id, pod)]},
            "linux": {
                "cgroupsPath": format!("/{id}"),
                "namespaces": namespaces(pod, self.user_namespace, self.pid_namespace.as_deref()),
                "uidMappings": own_ids(self.user_namespace),
                "gidMappings": own_ids(self.user_namespace),
                "timeOffsets": {"monotonic": offset, "boottime": offset},
                "seccomp": self.seccomp,
                "resources": {"memory": {"limit": self.memory_limit}, "cpu": {"shares": self.cpu_shares}},
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        })
    }

    /// What the test sets, and of what the kubelet sets the rest.
    fn environment(&self, pod: &Sandbox) -> Vec<String> {
        let is_set = |name: &str| self.env.iter().any(|one| one.starts_with(&format!("{name}=")));
        let given = pod.environment().into_iter().filter(|(name, _)| !is_set(name));
        self.env.iter().cloned().chain(given.map(|(name, value)| format!("{name}={value}"))).collect()
    }
}

/// From where, to where, and how.
pub type Mount = (PathBuf, String, &'static str);

/// The same ids outside as inside: what a user namespace changes is where the capabilities count.
fn own_ids(user_namespace: bool) -> Value {
    if user_namespace { json!([{"containerID": 0, "hostID": 0, "size": 65536}]) } else { json!([]) }
}

fn namespaces(pod: &Sandbox, user_namespace: bool, pids: Option<&Path>) -> Vec<Value> {
    let mut all: Vec<Value> =
        ["mount", "ipc", "uts", "time"].iter().map(|kind| json!({"type": kind})).collect();
    all.push(match pids {
        Some(path) => json!({"type": "pid", "path": path}),
        None => json!({"type": "pid"}),
    });
    if user_namespace {
        all.push(json!({"type": "user"}));
    }
    all.push(match &pod.link {
        Some(link) => json!({"type": "network", "path": link.path()}),
        None => json!({"type": "network"}),
    });
    all
}

/// What the runtime's own mounts cannot do is done in the container's namespaces before it has its root: another boot id, and
/// an address for a pod that has no link to this machine, on a bridge since that needs no other end.
fn hook(root: &Path, boot_id: &Path, pod: &Sandbox) -> Value {
    const SCRIPT: &str = "set -e
        mount --bind \"$1\" \"$2/proc/sys/kernel/random/boot_id\"
        [ -n \"$3\" ] || exit 0
        printf '%s\n' 'link set lo up' 'link add eth0 type bridge' \"address add $3/24 dev eth0\" 'link set eth0 up' |
            ip -batch -";
    let address = if pod.link.is_some() { "" } else { &pod.address };
    json!({
        "path": "/bin/sh",
        "args": ["sh", "-c", SCRIPT, "hook", boot_id, root, address],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    })
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
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        mount("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}
