//! What the manifest says of the frozen tree: its size, its streams, its control group files.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::generation::digest::FileDigest;

/// What is known of the frozen tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeFacts {
    /// Process id of its root, our init.
    pub root: i32,
    /// The init's program, which the tree has mapped.
    pub init: PathBuf,
    /// Number of processes.
    pub processes: usize,
    /// Resident memory of all of them, in bytes; shared pages count in each.
    pub resident_bytes: u64,
    /// True when the root has adopted a process, so that a restore must help CRIU to keep it in the tree.
    pub orphans: bool,
    /// The capabilities that any of its processes has or may take up, a bit each (capabilities(7)).
    #[serde(default)]
    pub capabilities: u64,
}

/// Control group facts for re-pointing files of one pod to those of the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroups {
    /// `/proc/self/cgroup` of the agent.
    pub own: String,
    /// Files below `/sys/fs/cgroup` that the tree had open.
    pub open_files: Vec<PathBuf>,
}

/// What `readlink /proc/self/fd/N` says of standard input, output and error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StdioMap(pub [String; 3]);

/// An address of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodAddress {
    /// The interface that has it, such as `eth0`.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
}

/// A datagram socket of the tree that was connected to one of another pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatagramPeer {
    /// One of the processes that have it.
    pub pid: i32,
    /// Its descriptor in that process.
    pub fd: i32,
    /// Where the other socket is, in the container.
    pub path: PathBuf,
}

/// The terminal that a tree has of its container, with `tty: true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminalFacts {
    /// CRIU's names for it; none if the tree has none.
    pub names: Vec<String>,
    /// Whose session it controls.
    pub session: Option<i32>,
    /// The group of processes that its keys reach.
    pub foreground: Option<i32>,
}

/// A file that the kubelet wrote for the pod (of a ConfigMap, a Secret, a projected token or the downward API), and that the tree
/// had open, mapped or executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeletFile {
    /// Its path, in the directory that is named after the time when it was written.
    pub path: PathBuf,
    /// What was in it.
    pub whole: FileDigest,
    /// The part of it, from its beginning, that the tree had read or mapped.
    pub read: FileDigest,
}
