//! The CRIU that runs.

use std::fs;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::call::CONFIG_FD;
use crate::tree::process::snapshot::own_children;

/// The id of the CRIU that this process has started, told from other children by the configuration it inherited.
pub fn child_pid() -> Option<i32> {
    let is_criu = |pid: &i32| fs::symlink_metadata(format!("/proc/{pid}/fd/{CONFIG_FD}")).is_ok();
    own_children().into_iter().find(is_criu)
}

/// Whether a CRIU has ended of which nobody has taken notice. What it was restoring has inherited its descriptors, and is a child of
/// ours too.
pub fn has_ended() -> bool {
    own_children().into_iter().any(is_over)
}

/// Whether a child has ended; its status stays for who waits for it.
fn is_over(child: i32) -> bool {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(Pid::from_raw(child)), look).is_ok_and(|status| status != WaitStatus::StillAlive)
}
