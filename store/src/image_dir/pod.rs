//! Which pod this is, so that another one can tell whether it still runs.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::base::limits;

/// A container of a pod, on a machine since its boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its host name, which is the pod's name; for people.
    pub host: String,
    /// The pod's uid and the container's name, if they can be learned.
    pub container: Option<String>,
    /// Its node's name.
    pub node: Option<String>,
    /// What the kernel made up at its boot (random(4), `boot_id`).
    pub boot: Option<String>,
}

impl Pod {
    /// This one, on `node`.
    pub fn here(node: Option<&str>) -> Self {
        let host = nix::sys::utsname::uname()
            .map_or_else(|_| String::new(), |names| names.nodename().to_string_lossy().into_owned());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let boot = fs::read_to_string(limits::BOOT_ID).ok().map(|id| id.trim().to_owned());
        Self { host, container: container(&mounts), node: node.map(str::to_owned), boot }
    }

    /// The pod's uid, if it can be learned.
    pub fn uid(&self) -> Option<&str> {
        self.container.as_deref()?.split('/').next()
    }

    /// Why this pod cannot run any more, if `here` proves it.
    ///
    /// - The kubelet never runs a container of a pod twice at a time, so when we are the same container it has ended.
    /// - A node that has booted since runs nothing from before.
    pub fn gone(&self, here: &Self) -> Option<&'static str> {
        let same = |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours == theirs;
        if same(&self.container, &here.container) {
            return Some("it was this container before its restart");
        }
        let rebooted = same(&self.node, &here.node)
            && self.boot.is_some()
            && here.boot.is_some()
            && self.boot != here.boot;
        rebooted.then_some("its node has booted since")
    }
}

impl std::fmt::Display for Pod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.host)?;
        self.node.iter().try_for_each(|node| write!(f, " on {node}"))
    }
}

/// The kubelet mounts files of the pod's own directory into each container: `/etc/hosts` from
/// `pods/UID/etc-hosts`, and the termination log from `pods/UID/containers/NAME/…` (pkg/kubelet, `getPodDir`). The fourth
/// field of a line of mountinfo is the path on the node (proc(5)).
fn container(mountinfo: &str) -> Option<String> {
    let paths = mountinfo.lines().filter_map(|line| line.split(' ').nth(3));
    let inside: Vec<&str> = paths.filter_map(|path| Some(path.split_once("/pods/")?.1)).collect();
    let uid = inside.iter().find_map(|path| path.strip_suffix("/etc-hosts"))?;
    let name = inside.iter().find_map(|path| path.split_once("/containers/")?.1.split('/').next());
    Some(name.map_or_else(|| uid.to_owned(), |name| format!("{uid}/{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(container: Option<&str>, node: &str, boot: &str) -> Pod {
        Pod {
            host: "job-0".to_owned(),
            container: container.map(str::to_owned),
            node: Some(node.to_owned()),
            boot: Some(boot.to_owned()),
        }
    }

    #[test]
    fn only_the_same_container_and_a_boot_prove_that_it_is_gone() {
        let holder = pod(Some("uid-1/app"), "node-a", "boot-1");
        assert!(holder.gone(&pod(Some("uid-1/app"), "node-a", "boot-1")).is_some());
        assert!(holder.gone(&pod(Some("uid-2/app"), "node-a", "boot-2")).is_some());
        for alive in [
            pod(Some("uid-1/sidecar"), "node-a", "boot-1"),
            pod(Some("uid-2/app"), "node-b", "boot-2"),
            pod(None, "node-a", "boot-1"),
        ] {
            assert_eq!(holder.gone(&alive), None, "{alive:?}");
        }
        let unknown = Pod::default();
        assert_eq!(unknown.gone(&Pod::default()), None);
    }

    #[test]
    fn the_kubelets_mounts_name_the_container() {
        let mountinfo = "\
            700 690 0:51 / / rw - overlay overlay rw\n\
            711 700 8:1 /var/lib/kubelet/pods/0e-42/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
            712 700 8:1 /var/lib/kubelet/pods/0e-42/containers/app/9f8e /dev/termination-log rw - ext4 /dev/sda1 rw\n";
        assert_eq!(container(mountinfo).unwrap(), "0e-42/app");
        assert_eq!(container("700 690 0:51 / / rw - overlay overlay rw\n"), None);
    }
}
