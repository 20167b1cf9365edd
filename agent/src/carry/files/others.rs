//! What belongs to somebody else, where the agent is an ordinary user: the application is the same user, so it has not made this and
//! could not change it, and neither can the agent.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::geteuid;

use crate::base::limits;

/// Whether what was asked for is not for us, since it belongs to somebody else. What is our own and cannot be read is lost if it stays
/// behind, and is another matter.
pub fn is_hidden(meta: &Metadata, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && !geteuid().is_root() && belongs_to_another(meta)
}

/// Whether what was to be changed is not for us, since it belongs to somebody else: to one whom the pod's user namespace does not know,
/// as the root of `/dev/shm` in a pod with `hostUsers: false`, which is the node's; or to anybody, for an ordinary user.
pub fn is_fixed(meta: &Metadata, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
        && (meta.uid() == limits::OVERFLOW_UID || !geteuid().is_root() && belongs_to_another(meta))
}

fn belongs_to_another(meta: &Metadata) -> bool {
    meta.uid() != geteuid().as_raw()
}
