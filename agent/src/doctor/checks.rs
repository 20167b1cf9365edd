//! Says at start-up what would make a checkpoint or a restore fail, so that nobody learns it at the preemption.

use std::fs;
use std::path::Path;
use std::process;

use super::finding::{Effect, Finding};
use crate::carry::streams;
use crate::store::generation::tree_facts::StdioMap;
use crate::tree::criu;
use crate::tree::process::capabilities::{field, status};
use crate::tree::process::lacking_rights::lacking;

/// What of the container stands in the way of a checkpoint, or may, each with its remedy; the program has these standard streams. Takes
/// a few milliseconds.
pub fn findings(stdio: &StdioMap) -> Vec<Finding> {
    let doubt = doubts().map(|doubt| Finding::new(Effect::MayNotBeResumed, doubt));
    obstacles(stdio).into_iter().map(Finding::no_checkpoint).chain(doubt).collect()
}

/// That checkpoints have nowhere to go; the configuration that says where may be `missing`.
pub fn nowhere(missing: Option<&Path>) -> Finding {
    Finding::no_checkpoint(match missing {
        None => "no imageDir is configured".to_owned(),
        Some(path) => format!("there is no configuration {}; mount the ConfigMap there", path.display()),
    })
}

fn obstacles(stdio: &StdioMap) -> Vec<String> {
    let status = status();
    let mut found = lacking();
    found.extend(seccomp(&status));
    found.extend(criu::version().err().map(|error| error.to_string()));
    found.extend(streams::unfreezable(stdio).into_iter().map(|stream| {
        format!("{stream}, which CRIU cannot dump; let the container runtime make the streams: pipes, or a terminal by tty: true")
    }));
    found
}

/// What may make a restore fail in the next pod, though nothing is in the way of a checkpoint.
fn doubts() -> Option<String> {
    let is_here = |pid: u32| {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        namespace("self").is_some_and(|own| namespace(&pid.to_string()) == Some(own))
    };
    shared_ids(process::id(), is_here)
}

/// An init in front of crik is in the same container; the pod's pause container, or the machine's init, is not.
fn shared_ids(own: u32, is_here: impl Fn(u32) -> bool) -> Option<String> {
    const FIRST: u32 = 1;
    (own != FIRST && !is_here(FIRST)).then(|| {
        "processes of other containers share the process ids of this one, and a restore fails where one of them has an id of \
         the program's; set shareProcessNamespace: false (and hostPID: false)"
            .to_owned()
    })
}

/// CRIU can dump under a seccomp filter only with SYS_ADMIN in the initial user namespace, which no pod should have.
fn seccomp(status: &str) -> Option<String> {
    (field(status, "Seccomp") == Some("2")).then(|| {
        "the container runs under a seccomp profile, and CRIU cannot dump under one; set \
         securityContext.seccompProfile.type: Unconfined"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_containers_first_process_is_told_and_an_init_of_this_one_is_not() {
        assert!(shared_ids(7, |_| false).unwrap().contains("shareProcessNamespace: false"));
        assert_eq!([shared_ids(1, |_| true), shared_ids(7, |_| true)], [None, None]);
    }

    #[test]
    fn a_seccomp_profile_is_said_to_be_in_the_way() {
        assert!(seccomp("Name:\tcrik\nSeccomp:\t2\nSeccomp_filters:\t1\n").unwrap().contains("Unconfined"));
        assert_eq!(seccomp("Seccomp:\t0\n"), None);
    }
}
