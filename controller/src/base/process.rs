//! What this process uses of the machine, in the terms of the Prometheus client libraries (prometheus.io/docs/instrumenting/
//! writing_clientlibs, "Process metrics").

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

/// What is used now; what the system does not tell is none.
#[derive(Debug)]
pub struct Usage {
    /// Seconds of the processor, of all threads, in user and in kernel mode.
    pub cpu_seconds: Option<f64>,
    /// Bytes of memory that are there.
    pub resident_bytes: Option<u64>,
    /// Bytes of address space.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// How many there may be.
    pub max_files: Option<u64>,
}

impl Usage {
    /// Looks.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // The directory's own descriptor is one of those that are counted.
        let open = fs::read_dir("/proc/self/fd").ok().map(|open| (open.count() as u64).saturating_sub(1));
        Self {
            cpu_seconds: cpu_seconds(),
            resident_bytes: bytes(&status, "VmRSS:"),
            virtual_bytes: bytes(&status, "VmSize:"),
            open_files: open,
            max_files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Some(micros as f64 / 1e6)
}

/// A line such as `VmRSS:     1234 kB` of proc(5)'s status, in bytes.
fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to() {
        let before = Usage::now();
        let kept = vec![1_u8; 64 << 20];
        let files: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let sum: u64 = (0..50_000_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(sum | 1));
        let after = Usage::now();
        assert!(sum != 1 && kept.len() + files.len() > 0);
        assert!(after.cpu_seconds > before.cpu_seconds, "{before:?} {after:?}");
        let grown = after.resident_bytes.unwrap() as i64 - before.resident_bytes.unwrap() as i64;
        assert!(grown > 32 << 20, "{before:?} {after:?}");
        assert!(
            after.virtual_bytes >= after.resident_bytes && after.max_files >= after.open_files,
            "{after:?}"
        );
        assert!(after.open_files >= Some(10), "{after:?}");
    }

    #[test]
    fn what_is_not_told_is_none() {
        assert_eq!(bytes("VmRSS:\t    1234 kB\n", "VmRSS:"), Some(1234 << 10));
        assert_eq!(bytes("VmRSS:\t many\n", "VmRSS:"), None);
        assert_eq!(bytes("", "VmRSS:"), None);
    }
}
