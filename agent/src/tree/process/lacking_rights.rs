//! What this process may not do that a checkpoint and a restore take, and how a pod gets it.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Uid, geteuid};
use thiserror::Error;

use super::capabilities::{Capability, field, mask, of_own_file, status};
use super::rights::is_of_a_tree;
use crate::base::edit::{Edit, Place};

/// This program's file.
const OWN_FILE: &str = "/proc/self/exe";

/// One thing that keeps CRIU from working here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    told: String,
    /// What to write for it.
    pub edits: Vec<Edit>,
}

/// What it is, and behind a semicolon what to do.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

/// What keeps CRIU from working here, each with its remedy; empty if nothing does.
#[must_use]
pub fn lacking() -> Vec<Lack> {
    let status = status();
    let lacks = |set: &str| -> Vec<Capability> {
        let has = mask(&status, set);
        needed(&status).into_iter().filter(|capability| has & capability.bit() == 0).collect()
    };
    let user = geteuid();
    let effective = lacks("CapEff");
    if user.is_root() || effective.is_empty() {
        return to_be_added(&effective);
    }
    let why = Why {
        no_new_privileges: has_no_new_privileges(&status),
        file: std::env::current_exe().unwrap_or_else(|_| OWN_FILE.into()),
        nosuid: statvfs(OWN_FILE).is_ok_and(|on| on.flags().contains(FsFlags::ST_NOSUID)),
        permits: of_own_file(),
        beyond: lacks("CapBnd"),
        of_a_tree: is_of_a_tree(),
    };
    why.told(user)
}

/// An error where something keeps CRIU from working here.
///
/// # Errors
/// All that does, each with its remedy.
pub fn enough() -> Result<(), Lacking> {
    let lacking = lacking();
    let told: Vec<String> = lacking.iter().map(ToString::to_string).collect();
    if told.is_empty() { Ok(()) } else { Err(Lacking(told.join("; "))) }
}

/// What this process may not do.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Lacking(String);

/// At a restore CRIU takes from each process what it never could have, unless the kernel sees to it that it never can.
fn needed(status: &str) -> Vec<Capability> {
    let always = [Capability::CheckpointRestore, Capability::SysPtrace];
    let to_drop = (!has_no_new_privileges(status)).then_some(Capability::SetPcap);
    always.into_iter().chain(to_drop).collect()
}

fn has_no_new_privileges(status: &str) -> bool {
    field(status, "NoNewPrivs") == Some("1")
}

fn to_be_added(lacking: &[Capability]) -> Vec<Lack> {
    let names: Vec<&str> = lacking.iter().map(|capability| capability.name()).collect();
    let lack = |name: &&str| Lack {
        told: format!("the capability {name} is missing; add it to securityContext.capabilities.add"),
        edits: vec![Edit::capabilities(&names)],
    };
    names.iter().map(lack).collect()
}

/// Why this program has not got what its file should give to it.
struct Why {
    no_new_privileges: bool,
    file: PathBuf,
    nosuid: bool,
    permits: u64,
    beyond: Vec<Capability>,
    of_a_tree: bool,
}

impl Why {
    /// Each reason, with its remedy.
    fn told(&self, user: Uid) -> Vec<Lack> {
        let who = format!(
            "the container runs as user {user}, to whom Kubernetes gives no capabilities, so that crik has only those of its file"
        );
        let mut reasons = Vec::new();
        if self.no_new_privileges {
            reasons.push((
                "allowPrivilegeEscalation: false takes these away, unless crik is the first program that the container starts; leave it \
                 out, or have command begin with crik"
                    .to_owned(),
                Some(Edit::new(Place::Container, "securityContext: {allowPrivilegeEscalation: true}")),
            ));
        }
        if self.nosuid {
            let told = format!(
                "{} is on a file system that is mounted nosuid, which takes these away; put it into the container's image",
                self.file.display()
            );
            reasons.push((told, Some(Edit::agent_image())));
        }
        reasons.extend(of_file(&self.file, self.permits));
        if self.of_a_tree {
            reasons.push((
                "another crik runs it, and what runs under one gets none; run it once".to_owned(),
                None,
            ));
        }
        let lack = |(reason, edit): (String, Option<Edit>)| Lack {
            told: format!("{who}: {reason}"),
            edits: edit.into_iter().collect(),
        };
        reasons.into_iter().map(lack).chain(to_be_added(&self.beyond)).collect()
    }
}

/// What a file's capabilities lack, and where it was lost.
fn of_file(file: &Path, permits: u64) -> Option<(String, Option<Edit>)> {
    let all = [Capability::CheckpointRestore, Capability::SysPtrace, Capability::SetPcap];
    let lacks: Vec<&str> =
        all.iter().filter(|one| permits & one.bit() == 0).map(|capability| capability.name()).collect();
    let wanted: Vec<String> = all.iter().map(|one| format!("cap_{}", one.name().to_lowercase())).collect();
    (!lacks.is_empty()).then(|| {
        let line = format!("RUN setcap {}=p {}", wanted.join(","), file.display());
        let told = format!(
            "{} lacks {}, as after a copy that leaves extended attributes behind; in the image's Dockerfile: {line}",
            file.display(),
            lacks.join(", "),
        );
        (told, Some(Edit::new(Place::Dockerfile, line)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::permitted_by;
    use super::*;

    /// `setcap cap_checkpoint_restore,cap_sys_ptrace,cap_setpcap=p` as it is on the disk.
    const ALL: [u8; 20] = [0, 0, 0, 2, 0, 1, 8, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    fn all_is_well() -> Why {
        Why {
            no_new_privileges: false,
            file: "/usr/local/bin/crik".into(),
            nosuid: false,
            permits: permitted_by(&ALL),
            beyond: Vec::new(),
            of_a_tree: false,
        }
    }

    fn told(why: &Why) -> String {
        why.told(Uid::from_raw(1000)).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_reason_is_told_with_its_remedy() {
        assert_eq!(told(&all_is_well()), "");
        let no_new_privileges = Why { no_new_privileges: true, ..all_is_well() };
        assert!(
            told(&no_new_privileges).contains("user 1000")
                && told(&no_new_privileges).contains("leave it out")
        );
        let nosuid = Why { nosuid: true, ..all_is_well() };
        assert!(told(&nosuid).contains("nosuid") && told(&nosuid).contains("image"));
        let copied = Why { permits: 0, ..all_is_well() };
        let setcap = "RUN setcap cap_checkpoint_restore,cap_sys_ptrace,cap_setpcap=p /usr/local/bin/crik";
        assert!(told(&copied).contains(setcap), "{}", told(&copied));
        let bound = Why { beyond: vec![Capability::SetPcap], ..all_is_well() };
        assert_eq!(
            told(&bound),
            "the capability SETPCAP is missing; add it to securityContext.capabilities.add"
        );
        assert!(told(&Why { of_a_tree: true, ..all_is_well() }).contains("another crik"));
    }

    #[test]
    fn what_a_file_lacks_is_named_and_what_it_has_is_not() {
        let mut attribute = ALL;
        attribute[13] = 0;
        let (said, _) = of_file(Path::new("/crik"), permitted_by(&attribute)).unwrap();
        assert!(said.contains("lacks CHECKPOINT_RESTORE, as"), "{said}");
        assert_eq!(permitted_by(&[]), 0);
        assert_eq!(permitted_by(&[0, 0, 0, 1, 0, 1]), 0);
    }

    #[test]
    fn root_needs_what_the_pod_spec_adds_and_setpcap_unless_nothing_can_be_gained() {
        let named = |status| needed(status).into_iter().map(Capability::name).collect::<Vec<_>>();
        assert_eq!(named("NoNewPrivs:\t0\n"), ["CHECKPOINT_RESTORE", "SYS_PTRACE", "SETPCAP"]);
        assert_eq!(named("NoNewPrivs:\t1\n"), ["CHECKPOINT_RESTORE", "SYS_PTRACE"]);
    }
}
