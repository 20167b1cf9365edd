//! The container that a kubelet asks its runtime for, as an OCI runtime specification.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use crik_agent::tree::capabilities;
use serde_json::{Value, json};

use super::rootfs::Root;
use super::sandbox::Sandbox;

/// What a container's standard input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// `/dev/null`.
    None,
    /// A pipe, as with `stdin: true`.
    Pipe,
    /// A terminal, and so are its outputs, as with `tty: true`.
    Terminal,
}

/// What a container that is privileged can have here (capabilities(7)): on a node it is all.
///
/// # Errors
/// It cannot be read.
pub(crate) fn bounding_set() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).context("no CapBnd")?;
    Ok(u64::from_str_radix(bounding, 16)?)
}

/// A container's variable parts.
#[derive(Clone)]
pub struct Spec {
    /// The pod's name.
    pub name: String,
    args: Vec<String>,
    env: Vec<String>,
    /// Its capabilities.
    pub capabilities: Vec<String>,
    /// Whether nothing is hidden from it nor read-only: `privileged`, which is more than capabilities.
    pub privileged: bool,
    /// The user that its first process runs as: `runAsUser`.
    pub user: u32,
    /// The group of its volumes, which it is in besides the first: `fsGroup`.
    pub volume_group: Option<u32>,
    /// Whether nothing gains rights by an exec: `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
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
    /// Whether the loopback interface is up, as every network for pods has it.
    pub loopback: bool,
    /// What its standard input is.
    pub input: Input,
    /// The PID namespace of another container, as with `shareProcessNamespace: true`.
    pub pid_namespace: Option<PathBuf>,
    /// The IPC namespace of another container, which all containers of a pod share.
    pub ipc_namespace: Option<PathBuf>,
    /// What is set of its namespaces, as by `securityContext.sysctls`.
    pub sysctls: Vec<(&'static str, &'static str)>,
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
            privileged: false,
            user: 0,
            volume_group: None,
            no_new_privileges: false,
            root: Root::Small,
            user_namespace: false,
            read_only: false,
            seccomp: None,
            mounts: Vec::new(),
            memory_limit: None,
            cpu_shares: None,
            loopback: true,
            input: Input::None,
            pid_namespace: None,
            ipc_namespace: None,
            sysctls: Vec::new(),
        }
    }

    /// Sets the command line.
    pub fn command(&mut self, before: &[&str], command: &[&str]) {
        self.args = before.iter().chain(command).map(|&arg| arg.to_owned()).collect();
    }

    /// Makes it `privileged`, as far as this machine may.
    ///
    /// # Errors
    /// What it may cannot be read.
    pub fn be_privileged(&mut self) -> Result<()> {
        self.privileged = true;
        let given = capabilities::names(bounding_set()?);
        self.capabilities = given.iter().map(|name| format!("CAP_{name}")).collect();
        Ok(())
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
                "terminal": self.input == Input::Terminal,
                "args": self.args,
                "env": self.environment(pod),
                "cwd": "/",
                // A runtime looks for the user's group in the image, and takes root's where it finds none.
                "user": {"uid": self.user, "gid": 0, "additionalGids": self.volume_group.as_slice()},
                "noNewPrivileges": self.no_new_privileges,
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
                "oomScoreAdj": pod.node.oom_score_adj,
            },
            "mounts": all,
            "hooks": {"createContainer": [hook(root, boot_id, pod, self.loopback)]},
            "linux": {
                "cgroupsPath": format!("/{id}"),
                "namespaces": self.namespaces(pod),
                "uidMappings": own_ids(self.user_namespace),
                "gidMappings": own_ids(self.user_namespace),
                "timeOffsets": {"monotonic": offset, "boottime": offset},
                "sysctl": self.sysctls.iter().copied().collect::<BTreeMap<_, _>>(),
                "seccomp": self.seccomp,
                "resources": {"memory": {"limit": self.memory_limit}, "cpu": {"shares": self.cpu_shares}},
                "maskedPaths": self.unless_privileged(&["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]),
                "readonlyPaths": self.unless_privileged(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
            },
        })
    }

    fn unless_privileged(&self, paths: &'static [&'static str]) -> &'static [&'static str] {
        if self.privileged { &[] } else { paths }
    }

    fn namespaces(&self, pod: &Sandbox) -> Vec<Value> {
        let mut all: Vec<Value> = ["mount", "uts", "time"].map(|kind| namespace(kind, None)).into();
        all.push(namespace("ipc", self.ipc_namespace.as_deref()));
        all.push(namespace("pid", self.pid_namespace.as_deref()));
        if self.user_namespace {
            all.push(namespace("user", None));
        }
        let link = pod.link.as_ref().map(|link| PathBuf::from(link.path()));
        all.push(namespace("network", link.as_deref()));
        all
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

/// A namespace of the container's own, or that at `path`.
fn namespace(kind: &str, path: Option<&Path>) -> Value {
    path.map_or_else(|| json!({"type": kind}), |path| json!({"type": kind, "path": path}))
}

/// What the runtime's own mounts cannot do is done in the container's namespaces before it has its root: another boot id, and
/// an address for a pod that has no link to this machine, on a bridge since that needs no other end.
fn hook(root: &Path, boot_id: &Path, pod: &Sandbox, loopback: bool) -> Value {
    const SCRIPT: &str = "set -e
        mount --bind \"$1\" \"$2/proc/sys/kernel/random/boot_id\"
        [ -n \"$3\" ] || exit 0
        printf '%s\n' \"link set lo $4\" 'link add eth0 type bridge' \"address add $3/24 dev eth0\" 'link set eth0 up' |
            ip -batch -";
    let address = if pod.link.is_some() { "" } else { &pod.address };
    json!({
        "path": "/bin/sh",
        "args": ["sh", "-c", SCRIPT, "hook", boot_id, root, address, if loopback { "up" } else { "down" }],
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
