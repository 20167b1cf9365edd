//! Says at start-up what would make a checkpoint or a restore fail, so that nobody learns it at the preemption.

use std::fs;
use std::path::Path;
use std::process;

use crik_store::generation::tree_facts::StdioMap;

use super::finding::{Effect, Finding};
use crate::base::edit::{Edit, Place};
use crate::base::limits;
use crate::carry::streams;
use crate::tree::criu;
use crate::tree::process::capabilities::{field, status};
use crate::tree::process::lacking_rights::lacking;
use crate::tree::process::loopback_device;

/// What of the container stands in the way of a checkpoint, or may, each with its remedy; the program has these standard streams. Takes
/// a few milliseconds.
pub fn findings(stdio: &StdioMap) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        lacking().into_iter().map(|lack| Finding::no_checkpoint(&lack).by(lack.edits)).collect();
    found.extend(seccomp(&status()));
    found.extend(loopback_device::is_down().then(no_loopback));
    found.extend(criu::version().err().map(|error| Finding::no_checkpoint(error).by([Edit::agent_image()])));
    found.extend(streams::unfreezable(stdio).into_iter().map(foreign_stream));
    found.extend(shared_ids(process::id(), is_here));
    found
}

/// That checkpoints have nowhere to go; the configuration that says where may be `missing`.
pub fn nowhere(missing: Option<&Path>) -> Finding {
    let Some(path) = missing else {
        return Finding::no_checkpoint(
            "no imageDir is configured; name a directory on the checkpoint volume",
        )
        .by([Edit::new(Place::Config, limits::EXAMPLE_IMAGE_DIR)]);
    };
    let (name, directory) = (limits::EXAMPLE_CONFIG_MAP, path.parent().unwrap_or(path));
    Finding::no_checkpoint(format!("there is no configuration {}; mount the ConfigMap there", path.display()))
        .by([
            Edit::new(
                Place::Container,
                format!("volumeMounts: [{{name: {name}, mountPath: {}}}]", directory.display()),
            ),
            Edit::new(Place::Pod, format!("volumes: [{{name: {name}, configMap: {{name: {name}}}}}]")),
        ])
}

fn foreign_stream(stream: String) -> Finding {
    let told = format!(
        "{stream}, which CRIU cannot dump; let the container's runtime make the streams: pipes, or a terminal (tty: true)"
    );
    Finding::no_checkpoint(told)
}

fn no_loopback() -> Finding {
    let told = "the loopback interface of the pod's network is down, and without it CRIU does not begin; have the pod's network (CNI) \
                bring it up, or add the capability NET_ADMIN, by which crik does";
    Finding::no_checkpoint(told)
        .by([Edit::new(Place::Container, "securityContext: {capabilities: {add: [NET_ADMIN]}}")])
}

/// Whether a process is of this container.
fn is_here(pid: u32) -> bool {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    namespace("self").is_some_and(|own| namespace(&pid.to_string()) == Some(own))
}

/// What may make a restore fail in the next pod, though nothing is in the way of a checkpoint. An init in front of crik is in the same container; the pod's pause container, or the machine's init, is not.
fn shared_ids(own: u32, is_here: impl Fn(u32) -> bool) -> Option<Finding> {
    const FIRST: u32 = 1;
    (own != FIRST && !is_here(FIRST)).then(|| {
        let told = "processes of other containers share the process ids of this one, and a restore fails where one of them has an id of \
         the program's; set shareProcessNamespace: false (and hostPID: false)";
        Finding::new(Effect::MayNotBeResumed, told)
            .by(["shareProcessNamespace: false", "hostPID: false"].map(|line| Edit::new(Place::Pod, line)))
    })
}

/// CRIU can dump under a seccomp filter only with SYS_ADMIN in the initial user namespace, which no pod should have.
fn seccomp(status: &str) -> Option<Finding> {
    (field(status, "Seccomp") == Some("2")).then(|| {
        Finding::no_checkpoint(
            "the container runs under a seccomp profile, and CRIU cannot dump under one; set \
             securityContext.seccompProfile.type: Unconfined",
        )
        .by([Edit::new(Place::Container, "securityContext: {seccompProfile: {type: Unconfined}}")])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_containers_first_process_is_told_and_an_init_of_this_one_is_not() {
        assert!(shared_ids(7, |_| false).unwrap().to_string().contains("shareProcessNamespace: false"));
        assert_eq!([shared_ids(1, |_| true), shared_ids(7, |_| true)], [None, None]);
    }

    #[test]
    fn a_seccomp_profile_is_said_to_be_in_the_way() {
        assert!(
            seccomp("Name:\tcrik\nSeccomp:\t2\nSeccomp_filters:\t1\n")
                .unwrap()
                .to_string()
                .contains("Unconfined")
        );
        assert_eq!(seccomp("Seccomp:\t0\n"), None);
    }
}
