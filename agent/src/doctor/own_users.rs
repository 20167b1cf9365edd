//! What capabilities give that a pod may have without harm with `hostUsers: false`, since they count in it alone: the list that `crik doctor`
//! tells. README, "What hostUsers: false adds", is the same for people, as a test holds.

use nix::unistd::geteuid;

use crate::base::edit::Edit;
use crate::tree::process::capabilities::is_in_nodes_user_namespace;
use crate::tree::process::{ipc_namespace, loopback, scratch, time_namespace};

/// One of them.
struct Gift {
    what: &'static str,
    takes: &'static str,
    is_here: bool,
}

fn all() -> [Gift; 4] {
    [
        Gift {
            what: "clocks by the kernel for every program",
            takes: "SYS_ADMIN and SYS_TIME",
            is_here: time_namespace::is_possible(),
        },
        Gift {
            what: "shared memory, semaphores and message queues of System V (ownIpcNamespace)",
            takes: "SYS_ADMIN",
            is_here: ipc_namespace::is_possible(),
        },
        Gift {
            what: "a place for the copy of a trial (crik doctor --trial)",
            takes: "SYS_ADMIN",
            is_here: scratch::is_likely(),
        },
        Gift {
            what: "connections over loopback (loopbackConnections: keep)",
            takes: "NET_ADMIN",
            is_here: loopback::is_possible(),
        },
    ]
}

/// What each of them takes besides, to be put behind a remedy: crik has no capabilities but those of its file where it is not root.
#[must_use]
pub fn as_root() -> &'static str {
    if geteuid().is_root() { "" } else { "; that takes a container that runs as root (runAsUser: 0)" }
}

/// What to write for that.
#[must_use]
pub fn root_edit() -> Option<Edit> {
    (!geteuid().is_root()).then(Edit::root)
}

/// In a line: what of it is here, and what would be with which capabilities. Tries each, which takes some milliseconds.
#[must_use]
pub fn told() -> String {
    told_of(&all(), !is_in_nodes_user_namespace(), geteuid().is_root())
}

fn told_of(all: &[Gift], own_users: bool, root: bool) -> String {
    let here: Vec<&str> = all.iter().filter(|one| one.is_here).map(|one| one.what).collect();
    let more: Vec<String> = all
        .iter()
        .filter(|one| !one.is_here)
        .map(|one| format!("{} (with {})", one.what, one.takes))
        .collect();
    let first = if here.is_empty() { "nothing besides".to_owned() } else { here.join(", ") };
    let user = if root { "" } else { " as root" };
    let condition = if own_users { "" } else { " with hostUsers: false" };
    match more.as_slice() {
        [] => first,
        more => format!("{first}; it could be{user}{condition}: {}", more.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the README says of each stands in its table, a row each in the same order.
    #[test]
    fn the_readme_has_the_same_list() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        let (_, section) = readme.split_once("\n## What `hostUsers: false` adds\n").unwrap();
        let rows = section.lines().skip_while(|line| *line != "| --- | --- |").skip(1);
        let rows: Vec<(&str, &str)> =
            rows.map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")).collect();
        assert_eq!(rows.len(), all().len(), "{rows:?}");
        for (gift, (takes, what)) in all().iter().zip(rows) {
            assert_eq!(gift.takes.replace(" and ", ", "), takes);
            let setting = gift.what.split_once('(').map(|(_, setting)| setting.trim_end_matches(')'));
            assert!(setting.is_none_or(|setting| what.contains(setting)), "{what} has no {setting:?}");
        }
    }

    #[test]
    fn what_is_here_is_told_from_what_could_be() {
        let gift = |is_here| Gift { what: "clocks", takes: "SYS_TIME", is_here };
        assert_eq!(told_of(&[gift(true)], true, true), "clocks");
        assert_eq!(
            told_of(&[gift(false)], true, true),
            "nothing besides; it could be: clocks (with SYS_TIME)"
        );
        assert!(
            told_of(&[gift(false)], false, false)
                .contains("as root with hostUsers: false: clocks (with SYS_TIME)")
        );
    }
}
