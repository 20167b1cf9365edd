//! What of the kernel CRIU needs here or makes use of, and what follows if it is not there. CRIU itself is asked (criu(8), `check --feature`).

use std::process::{Command, Stdio};

use super::become_criu::CHECK;
use super::call::Call;
use super::error::CriuError;
use super::in_namespace::Namespaces;
use crate::base::headway::Headway;

/// Something that a kernel has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// As CRIU calls it.
    pub name: &'static str,
    /// What is not possible without it.
    pub without: &'static str,
    /// Whether no program at all can be resumed without it.
    pub needed: bool,
}

const fn needed(name: &'static str, without: &'static str) -> Feature {
    Feature { name, without, needed: true }
}

const fn used(name: &'static str, without: &'static str) -> Feature {
    Feature { name, without, needed: false }
}

/// All that matter here. CRIU knows more: those for network namespaces, for memory that is sent ahead, and for root's rights.
pub const FEATURES: [Feature; 13] = [
    needed("clone3_set_tid", "a restored process cannot get its id back"),
    needed("can_map_vdso", "a restored process cannot read its clocks"),
    needed("mnt_id", "it cannot be told on which volume an open file is"),
    used("get_rseq_conf", "programs of glibc 2.35 and later cannot be resumed"),
    used("fdinfo_lock", "programs with file locks cannot be resumed"),
    used("kcmp_epoll", "an epoll descriptor that watches a descriptor with another number is lost"),
    used("timerfd", "programs with timer descriptors cannot be resumed"),
    used("timer_cr_ids", "timers made by timer_create may be restored slowly"),
    used("sockopt_buf_lock", "sizes of socket buffers that a program has set may change"),
    used("memfd_hugetlb", "memory files of huge pages cannot be resumed"),
    used("overlayfs_maps", "files that are mapped from the container's layer may not be found"),
    used("pagemap_scan", "a dump of much memory takes longer"),
    used("timens", "clocks cannot go on by the kernel, and crik's library has to see to it"),
];

/// Those that are missing here. Takes a few milliseconds for each, and a tenth of a second for the first.
///
/// # Errors
/// CRIU cannot be asked.
pub fn missing() -> Result<Vec<Feature>, CriuError> {
    // One that does not run has no feature, which says nothing of the kernel.
    super::version()?;
    let _call = Call::begin(Namespaces::OWN, &[], &Headway::default())?;
    let mut missing = Vec::new();
    for feature in FEATURES {
        if !is_there(feature)? {
            missing.push(feature);
        }
    }
    Ok(missing)
}

fn is_there(feature: Feature) -> Result<bool, CriuError> {
    let mut criu = Command::new("/proc/self/exe");
    criu.args([CHECK, "--feature", feature.name]);
    criu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = criu.status().map_err(|error| CriuError::Missing(error.to_string()))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_once() {
        let mut names: Vec<&str> = FEATURES.iter().map(|one| one.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FEATURES.len());
    }
}
