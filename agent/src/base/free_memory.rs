//! How much memory this container may still take.

use std::fs;
use std::path::Path;

/// In bytes: what its control group and the machine leave, whichever is less, with what the kernel gives back by itself. None if neither is known.
#[must_use]
pub fn free() -> Option<u64> {
    let groups = [
        ("/sys/fs/cgroup", "memory.max", "memory.current", "file"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "cache"),
    ];
    let of_group =
        groups.iter().find_map(|(at, limit, used, cache)| of_group(Path::new(at), limit, used, cache));
    [of_group, of_machine()].into_iter().flatten().min()
}

fn of_group(at: &Path, limit: &str, used: &str, cache: &str) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(at.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = (number(limit)?, number(used)?);
    let stat = fs::read_to_string(at.join("memory.stat")).unwrap_or_default();
    let stat = |name: &str| {
        stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok())
    };
    // Of memory files nothing is given back.
    let cached = stat(cache).unwrap_or(0).saturating_sub(stat("shmem").unwrap_or(0));
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

fn of_machine() -> Option<u64> {
    let all = fs::read_to_string("/proc/meminfo").ok()?;
    let line = all.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_gives_back_is_free_and_memory_files_are_not() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(group.path().join(name), text).unwrap();
        let free = || of_group(group.path(), "memory.max", "memory.current", "file");
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(free(), None);
        write("memory.max", "1000\n");
        write("memory.stat", "anon 200\nfile 500\nshmem 100\n");
        assert_eq!(free(), Some(700));
    }

    #[test]
    fn the_machine_tells() {
        assert!(of_machine().unwrap() > 0);
    }
}
