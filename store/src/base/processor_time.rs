//! How long a thread has worked.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How long this thread has had a processor (clock_gettime(2)); waiting for one takes none of it. Zero where the kernel does not say.
pub fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::thread::sleep;

    use super::*;

    #[test]
    fn to_work_takes_time_and_to_wait_none() {
        let before = processor_time();
        sleep(Duration::from_millis(50));
        let waited = processor_time() - before;
        assert!(waited < Duration::from_millis(25), "{waited:?}");
        while processor_time() - before < Duration::from_millis(30) {
            black_box([7; 4096].iter().sum::<u32>());
        }
    }
}
