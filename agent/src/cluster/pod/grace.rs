//! How long a pod that is ended still has when its SIGTERM comes. Pure.

use std::time::Duration;

use crik_api::PodStatus;

use crate::base::limits;

/// From SIGTERM to SIGKILL, where the SIGTERM came this long ago; none if nobody has said. A preStop hook's time is not the program's.
pub fn after_sigterm(status: &PodStatus, ago: Duration) -> Option<Duration> {
    let grace = Duration::from_secs(status.deletion_grace_seconds?);
    let used = status.deletion_grace_used_seconds.map_or(Duration::ZERO, Duration::from_secs);
    let by_hooks = used.saturating_sub(ago);
    // A hook is cut off when the time is over. Who is later than that was away, and has begun to count when it was back.
    if by_hooks > grace + limits::HOOK_CUT_OFF {
        return Some(grace);
    }
    Some(grace.saturating_sub(by_hooks).max(limits::GRACE_AFTER_HOOK.min(grace)))
}

#[cfg(test)]
mod tests {
    use crik_api::PodState;

    use super::*;

    /// What is left in seconds, of this grace, of which so much was used when the SIGTERM was so old.
    fn left(grace: Option<u64>, used: Option<u64>, ago: u64) -> Option<u64> {
        let (namespace, name, uid, reasons) = (String::new(), String::new(), String::new(), Vec::new());
        let status = PodStatus {
            namespace,
            name,
            uid,
            state: PodState::Deleted,
            reasons,
            deletion_grace_seconds: grace,
            deletion_grace_used_seconds: used,
        };
        after_sigterm(&status, Duration::from_secs(ago)).map(|left| left.as_secs())
    }

    #[test]
    fn a_hook_takes_its_time_from_the_grace_period() {
        assert_eq!(left(Some(30), Some(10), 0), Some(20));
        assert_eq!(left(Some(30), Some(12), 2), Some(20));
        assert_eq!(left(Some(30), Some(1), 2), Some(30));
        assert_eq!(left(Some(30), None, 0), Some(30));
        assert_eq!(left(None, None, 0), None);
    }

    #[test]
    fn a_hook_that_was_cut_off_leaves_what_the_kubelet_gives_all_the_same() {
        assert_eq!(left(Some(30), Some(31), 0), Some(2));
        assert_eq!(left(Some(1), Some(1), 0), Some(1));
        assert_eq!(left(Some(0), Some(0), 0), Some(0));
    }

    #[test]
    fn a_kubelet_that_was_away_counts_from_its_return() {
        assert_eq!(left(Some(30), Some(300), 0), Some(30));
    }
}
