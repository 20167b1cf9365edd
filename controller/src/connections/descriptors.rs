//! How many connections the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::base::limits;

/// Raises the limit of file descriptors as far as the process may, and returns how many connections that leaves, at most
/// `wanted`. Fewer than that are told, since polls are refused beyond them.
pub fn room_for(wanted: usize) -> usize {
    let limit = raise();
    let possible = connections(limit, wanted);
    if possible < wanted {
        tracing::warn!(
            "only {possible} connections fit the limit of {limit} open files, not {wanted}; raise it for the \
             container runtime (LimitNOFILE), or lower --max-waiting-polls"
        );
    }
    possible
}

fn connections(limit: u64, wanted: usize) -> usize {
    let left = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(limits::DESCRIPTORS_RESERVED);
    left.min(wanted).max(1)
}

/// The soft limit is a default for programs that use select(2); a program may raise it to the hard one (getrlimit(2)).
fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return limits::DESCRIPTORS_ASSUMED };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_our_own_are_left_free() {
        let reserved = limits::DESCRIPTORS_RESERVED;
        assert_eq!(connections(1 << 20, 5000), 5000);
        assert_eq!(connections(1024, 5000), 1024 - reserved);
        assert_eq!(connections(3, 5000), 1);
        assert_eq!(connections(u64::MAX, 5000), 5000);
    }
}
