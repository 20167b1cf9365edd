//! What helps where a program has what CRIU cannot dump, in the same words whoever tells of it: the look at a running tree, `crik doctor`
//! and what is added to an error of CRIU's.

use crate::base::edit::{Edit, Place};

/// Against a ring of io_uring, to be put together with what is wrong.
macro_rules! ring {
    () => {
        "have the program do without, or turn it off on the node (sysctl kernel.io_uring_disabled=2); by clockLibrary crik does so for \
         programs that ask the C library or liburing for it, unless ioUring says something else"
    };
}
pub(crate) use ring;

/// Against a socket of MPTCP. A pod may set this one only where the kubelet lets it (kubernetes.io, "Using sysctls in a Kubernetes
/// Cluster": it is none of those that are called safe).
macro_rules! mptcp {
    () => {
        "have the program listen by TCP (Go: GODEBUG=multipathtcp=0), or set the pod's sysctl net.mptcp.enabled to 0, which the kubelet has \
         to allow (--allowed-unsafe-sysctls)"
    };
}
pub(crate) use mptcp;

/// Against what belongs to an IPC namespace.
macro_rules! system_v {
    () => {
        "have the program do without (shared memory, semaphores and sockets of POSIX go along in its place), or start it in a pod with \
         hostUsers: false and the capability SYS_ADMIN, where it gets an IPC namespace of its own"
    };
}
pub(crate) use system_v;

/// For a node that gives no ring to anybody.
#[must_use]
pub fn no_rings() -> Edit {
    Edit::new(Place::Node, "sysctl -w kernel.io_uring_disabled=2")
}

/// For a pod in which whoever asks for MPTCP gets TCP.
#[must_use]
pub fn no_mptcp() -> Edit {
    Edit::new(Place::Pod, "securityContext: {sysctls: [{name: net.mptcp.enabled, value: \"0\"}]}")
}
