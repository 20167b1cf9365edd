//! Gives memory back that only a start or a checkpoint has needed: an agent is idle for days, and its memory counts in the limit of
//! its container.

use std::fs;
use std::ops::Range;

/// Has the allocator keep little, before there are threads: one heap for all of them, and buffers apart from it. By itself it makes a
/// heap for each thread, and after the first large buffer it takes all that are not larger from there, where each leaves its memory
/// behind (mallopt(3), `M_ARENA_MAX`, `M_MMAP_THRESHOLD`).
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    use crate::base::limits;
    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, limits::BUFFER_BYTES),
        (libc::M_TRIM_THRESHOLD, limits::BUFFER_BYTES),
    ] {
        // SAFETY: mallopt(3) takes numbers. What it does not know it leaves.
        unsafe { libc::mallopt(option, value) };
    }
}

/// Gives back what the allocator keeps, and takes the pages of programs and libraries out of this process's sight. They are in the
/// page cache as long as there is room, and the few that are needed come back by themselves.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes a number, and keeps what is in use.
    unsafe {
        libc::malloc_trim(0);
    }
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for Range { start, end } in clean(&maps) {
        // SAFETY: these pages are those of a file, mapped privately and never written, so that each is read from there again when it
        // is next looked at (madvise(2), MADV_DONTNEED).
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// The mappings of files that nobody can write and nobody has written (proc(5), smaps): what was relocated has anonymous pages, and
/// would be lost.
fn clean(maps: &str) -> Vec<Range<usize>> {
    let (mut found, mut candidate) = (Vec::new(), None);
    for line in maps.lines() {
        if let Some(kilobytes) = line.strip_prefix("Anonymous:") {
            let written = kilobytes.trim() != "0 kB";
            found.extend(candidate.take().filter(|_| !written));
        } else if line.split_once(' ').is_some_and(|(range, _)| range.contains('-')) {
            candidate = of_file(line);
        }
    }
    found
}

fn of_file(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions, path) = (words.next()?, words.next()?, words.nth(3)?);
    let (start, end) = range.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).ok();
    let read_only = !permissions.contains('w') && permissions.ends_with('p') && path.starts_with('/');
    read_only.then_some(parse(start)?..parse(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_a_file_as_it_is_in_memory_is_given_back() {
        let maps = "55d0c000-55d0d000 r-xp 0000b000 fe:00 42    /usr/bin/crik\nRss: 4 kB\nAnonymous:             0 kB\n\
                    55d0d000-55d0e000 r--p 0000b000 fe:00 42    /usr/bin/crik\nRss: 4 kB\nAnonymous:             8 kB\n\
                    55d0e000-55d0f000 rw-p 0000b000 fe:00 42    /usr/bin/crik\nAnonymous:             0 kB\n\
                    55d0f000-55d10000 r--s 0000b000 fe:00 42    /dev/shm/page\nAnonymous:             0 kB\n\
                    7f000000-7f001000 r-xp 00000000 00:00 0     [vdso]\nAnonymous:             0 kB\nVmFlags: rd ex\n\
                    7f002000-7f003000 r--p 00000000 00:00 0 \nAnonymous:             0 kB\n";
        assert_eq!(clean(maps), vec![Range { start: 0x55d0_c000, end: 0x55d0_d000 }]);
    }

    #[test]
    fn a_program_goes_on_afterwards() {
        let before = format!("{:?}", vec![1, 2, 3]);
        give_back();
        assert_eq!(format!("{:?}", vec![1, 2, 3]), before);
    }
}
