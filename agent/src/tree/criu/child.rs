//! The CRIU that runs.

use std::fs;

use super::call::CONFIG_FD;
use crate::tree::process::snapshot::Snapshot;

/// The id of the CRIU that this process has started, told from other children by the configuration it inherited.
pub fn child_pid() -> Option<i32> {
    let own = std::process::id().cast_signed();
    let is_criu = |pid: &i32| fs::symlink_metadata(format!("/proc/{pid}/fd/{CONFIG_FD}")).is_ok();
    Snapshot::take().children(own).map(|child| child.pid).find(is_criu)
}

/// Whether a CRIU has ended of which nobody has taken notice. What it was restoring has inherited its descriptors, and is a child of
/// ours too.
pub fn has_ended() -> bool {
    let own = std::process::id().cast_signed();
    Snapshot::take().children(own).any(|child| child.state == 'Z')
}
