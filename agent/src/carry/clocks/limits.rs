//! Paths and numbers of this room.

use std::time::Duration;

/// Directories for the page, in order of preference. It is written to whenever a thread waits, and where a file lies on a disk, a
/// write may have to wait for that.
pub const PAGE_DIRECTORIES: [&str; 1] = ["/dev/shm"];

/// How the names of the library and of its page begin. What of them belongs to other containers of the pod, which share its
/// `/dev/shm`, is theirs.
pub const NAME: &str = "crik-clocks-";

/// A name that no other has (random(4)).
pub const RANDOM_NAME: &str = "/proc/sys/kernel/random/uuid";

/// The vDSO has two pages on all kernels in use; more than this is none.
pub const VDSO_MAX_BYTES: usize = 1 << 20;

/// How many instructions a thread may take to leave the vDSO. Its longest function, which makes random numbers, takes hundreds.
pub const STEPS_MAX: usize = 100_000;

/// The coarse clocks say the time of the last tick, of which there are at least 100 a second.
pub const COARSE: Duration = Duration::from_millis(10);
