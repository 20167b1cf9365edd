//! Points files of the old pod's control groups to the new pod's.
//!
//! A runtime that looks up its memory limit keeps such a file open. Where the container sees the host's control
//! groups, the path names the pod, and the next pod has another.

use std::fs;
use std::path::{Path, PathBuf};

use crik_store::generation::tree_facts::Cgroups;

use crate::base::limits;
use crate::tree::process::snapshot::Tree;

/// The control groups of this process, and the control group files that `tree` has open.
pub fn of(tree: &Tree) -> Cgroups {
    Cgroups { own: own(), open_files: tree.open_cgroup_files() }
}

/// `/proc/self/cgroup` (cgroups(7)): lines of `id:controllers:path`.
pub fn own() -> String {
    fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// Each open file with the one that takes its place, for those that have one. `now` is [`own`] in the new pod.
pub fn moved(then: &Cgroups, now: &str) -> Vec<(PathBuf, PathBuf)> {
    let replace = |file: &PathBuf| Some((file.clone(), replacement(file, &then.own, now)?));
    then.open_files.iter().filter_map(replace).filter(|(old, new)| old != new).collect()
}

fn replacement(file: &Path, then: &str, now: &str) -> Option<PathBuf> {
    let inside = file.strip_prefix(limits::CGROUP_ROOT).ok()?;
    entries(then).find_map(|(controllers, old)| {
        let (_, new) = entries(now).find(|(others, _)| *others == controllers)?;
        // With cgroup v1 a hierarchy's directory, such as `memory`, comes before the path in it; v2 has none.
        let (mount, rest) = split_at(inside, old)?;
        Some(Path::new(limits::CGROUP_ROOT).join(mount).join(new.trim_start_matches('/')).join(rest))
    })
}

/// Splits `inside` around the control group's path: what comes before it is at most the hierarchy's directory.
fn split_at(inside: &Path, group: &str) -> Option<(PathBuf, PathBuf)> {
    let group = Path::new(group.trim_start_matches('/'));
    if group.as_os_str().is_empty() {
        return None;
    }
    if let Ok(rest) = inside.strip_prefix(group) {
        return Some((PathBuf::new(), rest.into()));
    }
    let mount: PathBuf = inside.components().take(1).collect();
    let rest = inside.strip_prefix(mount.join(group)).ok()?;
    Some((mount.clone(), rest.into()))
}

fn entries(cgroup: &str) -> impl Iterator<Item = (&str, &str)> {
    cgroup.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved_from(own: &str, file: &str, now: &str) -> Option<String> {
        let then = Cgroups { own: own.to_owned(), open_files: vec![file.into()] };
        moved(&then, now).first().map(|(_, new)| new.display().to_string())
    }

    #[test]
    fn each_driver_and_layout_is_re_pointed() {
        let systemd = "/sys/fs/cgroup/kubepods.slice/kubepods-podb.slice/cri-2.scope/memory.max";
        assert_eq!(
            moved_from(
                "0::/kubepods.slice/kubepods-poda.slice/cri-1.scope\n",
                "/sys/fs/cgroup/kubepods.slice/kubepods-poda.slice/cri-1.scope/memory.max",
                "0::/kubepods.slice/kubepods-podb.slice/cri-2.scope\n"
            )
            .unwrap(),
            systemd
        );
        assert_eq!(
            moved_from(
                "4:memory:/kubepods/poda/1\n3:cpu,cpuacct:/kubepods/poda/1\n",
                "/sys/fs/cgroup/memory/kubepods/poda/1/memory.limit_in_bytes",
                "9:memory:/kubepods/podb/2\n3:cpu,cpuacct:/other\n"
            )
            .unwrap(),
            "/sys/fs/cgroup/memory/kubepods/podb/2/memory.limit_in_bytes"
        );
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_needs_nothing() {
        assert_eq!(moved_from("0::/\n", "/sys/fs/cgroup/memory.max", "0::/\n"), None);
    }
}
