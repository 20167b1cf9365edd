//! What belongs to somebody else, where the agent is an ordinary user, or a root that may no more than one: the application is the same
//! user, so it has not made this and could not change it, and neither can the agent.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::geteuid;

use crate::base::limits;
use crate::tree::process::capabilities::{mask, status};

/// CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER and SETUID (capabilities(7)): without all of them root has no more of others' files than
/// a user has, and its program can become no other user.
const OVER_OTHERS: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 7;

/// Whether others' files are not ours to take and to give.
pub fn are_not_ours() -> bool {
    !geteuid().is_root() || mask(&status(), "CapEff") & OVER_OTHERS == 0
}

/// Whether what was asked for is not for us, since it belongs to somebody else. What is our own and cannot be read is lost if it stays
/// behind, and is another matter.
pub fn is_hidden(meta: &Metadata, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && belongs_to_another(meta) && are_not_ours()
}

/// Whether what was to be changed is not for us, since it belongs to somebody else: to one whom the pod's user namespace does not know,
/// as the root of `/dev/shm` in a pod with `hostUsers: false`, which is the node's; or to anybody, for who is no more than a user.
pub fn is_fixed(meta: &Metadata, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
        && (meta.uid() == limits::OVERFLOW_UID || belongs_to_another(meta) && are_not_ours())
}

fn belongs_to_another(meta: &Metadata) -> bool {
    meta.uid() != geteuid().as_raw()
}
