//! What capabilities give that a pod may have without harm with `hostUsers: false`, since they count in it alone: one list for the start's
//! look and `crik doctor`. README, "What hostUsers: false adds", is the same for people.

use crate::tree::process::capabilities::is_in_nodes_user_namespace;
use crate::tree::process::{ipc_namespace, loopback, time_namespace};

/// One of them.
struct Gift {
    what: &'static str,
    takes: &'static str,
    is_here: bool,
}

fn all() -> [Gift; 3] {
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
            what: "connections over loopback (loopbackConnections: keep)",
            takes: "NET_ADMIN",
            is_here: loopback::is_possible(),
        },
    ]
}

/// In a line: what of it is here, and what would be with which capabilities. Tries each, which takes some milliseconds.
#[must_use]
pub fn told() -> String {
    told_of(&all(), !is_in_nodes_user_namespace())
}

fn told_of(all: &[Gift], own_users: bool) -> String {
    let here: Vec<&str> = all.iter().filter(|one| one.is_here).map(|one| one.what).collect();
    let more: Vec<String> = all
        .iter()
        .filter(|one| !one.is_here)
        .map(|one| format!("{} (with {})", one.what, one.takes))
        .collect();
    let first = if here.is_empty() { "nothing besides".to_owned() } else { here.join(", ") };
    let condition = if own_users { "" } else { " with hostUsers: false" };
    match more.as_slice() {
        [] => first,
        more => format!("{first}; it could be{condition}: {}", more.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_is_told_from_what_could_be() {
        let gift = |is_here| Gift { what: "clocks", takes: "SYS_TIME", is_here };
        assert_eq!(told_of(&[gift(true)], true), "clocks");
        assert_eq!(told_of(&[gift(false)], true), "nothing besides; it could be: clocks (with SYS_TIME)");
        assert!(told_of(&[gift(false)], false).contains("with hostUsers: false: clocks (with SYS_TIME)"));
    }
}
