//! A signal: its name, what it means, and what has to stand on the Node.

use std::borrow::Cow;

use super::matcher::Matcher;

/// The reason of a node that is gone.
pub const DELETED: &str = "deleted";

/// The reason of a node that was ready when it was last heard of.
pub const SOURCE_LOST: &str = "source-lost";

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The node goes away for certain.
    ShuttingDown,
    /// The node is being drained, which can be taken back.
    Draining,
    /// No new pods are scheduled to it.
    Cordoned,
    /// The kubelet lives and is not well, so the node's pods are deleted, which can be taken back.
    Evicting,
    /// Nobody hears of the kubelet, so its pods are deleted; they learn that when it is back, and the node is well again.
    Unreachable,
    /// A candidate only: a hint, and no reason for a checkpoint.
    Candidate,
    /// Comes too late for pods to get a SIGTERM; what is left to see of a shutdown.
    TooLate,
    /// The kubelet is silent. Too late as well, but no trace of a shutdown: its network may be cut.
    Silent,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Signal {
    /// What it is called in reasons, metrics and the documentation.
    pub name: Cow<'static, str>,
    /// What it means.
    pub class: Class,
    /// What has to stand on the Node.
    pub matcher: Matcher,
}
