//! Seccomp filters (seccomp(2)): those that the container came with, and those that a program has set for itself.

use std::fs;

use super::capabilities::{Capability, field, has, is_in_nodes_user_namespace, status};

/// Whether process `pid`, or a thread of it, has one that this process has not, and that CRIU can neither set aside nor read. One that
/// the container came with is this process's as well.
pub(super) fn are_in_the_way(pid: i32) -> bool {
    let own = status();
    !may_be_set_aside(&own) && statuses(pid).any(|theirs| goes_beyond(&own, &theirs))
}

/// The kernel asks for a capability on the whole node, and that who asks is under no filter (kernel/ptrace.c, `PTRACE_O_SUSPEND_SECCOMP`;
/// kernel/seccomp.c, `seccomp_get_filter`).
fn may_be_set_aside(own: &str) -> bool {
    is_unfiltered(own) && has(Capability::SysAdmin) && is_in_nodes_user_namespace()
}

fn is_unfiltered(status: &str) -> bool {
    mode(status) == "0"
}

/// proc(5): nothing, strict, or filters; nothing where the kernel knows no such thing.
fn mode(status: &str) -> &str {
    field(status, "Seccomp").unwrap_or("0")
}

/// Filters are only ever added, and a child has those of its parent. Before Linux 5.9 nobody tells how many there are.
fn goes_beyond(own: &str, theirs: &str) -> bool {
    let count = |status| field(status, "Seccomp_filters")?.parse::<u32>().ok();
    mode(theirs) != mode(own) || count(theirs) > count(own)
}

/// Of all threads, since each may have filters of its own.
fn statuses(pid: i32) -> impl Iterator<Item = String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_the_programs_own_is_told_from_the_containers() {
        let status = |mode, count| format!("Name:\tapp\nSeccomp:\t{mode}\nSeccomp_filters:\t{count}\n");
        let goes_beyond =
            |own: (u8, u8), theirs: (u8, u8)| goes_beyond(&status(own.0, own.1), &status(theirs.0, theirs.1));
        assert!(goes_beyond((0, 0), (2, 1)) && goes_beyond((2, 1), (2, 2)) && goes_beyond((0, 0), (1, 0)));
        assert!(!goes_beyond((0, 0), (0, 0)) && !goes_beyond((2, 1), (2, 1)));
        let old = |mode| format!("Seccomp:\t{mode}\n");
        assert!(super::goes_beyond(&old(0), &old(2)) && !super::goes_beyond(&old(2), &old(2)));
        assert!(!super::goes_beyond("Name:\tapp\n", "Name:\tapp\n"));
    }
}
