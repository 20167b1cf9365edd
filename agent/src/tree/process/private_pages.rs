//! Reads the pages of a running process that a dump would write as its own: in the same order, so that they are cut into the same chunks.
//!
//! CRIU writes one stream a process, mapping after mapping, of each the pages that are there. Left out are pages of files that are as in
//! the file, shared memory, which has streams of its own, and what is swapped out: to read it would take memory from the program.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::base::kernel_pages::page_bytes;

const PRESENT: u64 = 1 << 63;
const OF_A_FILE: u64 = 1 << 61;

/// How many pages are looked at at once: a program may have reserved terabytes in which there is nothing.
const LOOKED_AT: u64 = 8192;

/// How many are read at once.
const READ: usize = 64;

/// Gives the pages, some at a time, and none now and then where there are none: whoever takes them can end it at any time. A process that
/// cannot be opened has none: it has ended, if only a moment ago. That one or a mapping is gone meanwhile is no error either: what was
/// there was given.
///
/// # Errors
/// What takes the pages wants no more.
pub fn read(pid: i32, take: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let open = |name| File::open(format!("/proc/{pid}/{name}"));
    let (Ok(pages), Ok(memory)) = (open("pagemap"), open("mem")) else { return Ok(()) };
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let page = page_bytes();
    let mut buffer = vec![0; READ * page as usize];
    for (from, to) in String::from_utf8_lossy(&maps).lines().filter_map(own_mapping) {
        let mut at = from;
        while at < to {
            take(&[])?;
            let end = to.min(at + LOOKED_AT * page);
            for (first, count) in runs(&entries(&pages, page, at, end)) {
                let part = &mut buffer[..count * page as usize];
                // A mapping that is gone, or that not even a debugger may read.
                if memory.read_exact_at(part, at + first as u64 * page).is_ok() {
                    take(part)?;
                }
            }
            at = end;
        }
    }
    Ok(())
}

/// The range of a private mapping, from a line of /proc/PID/maps. None of what the kernel or a device has there: to read that may do
/// something.
fn own_mapping(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    let not_the_programs =
        |name: &str| name.starts_with("[v") || name.starts_with("/dev/") && name != "/dev/zero";
    let is_others = words.nth(3).is_some_and(not_the_programs);
    let (from, to) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    (rights.ends_with('p') && !is_others).then_some((address(from)?, address(to)?))
}

/// What the kernel tells of these pages; nothing of a process that is gone.
fn entries(pages: &File, page: u64, from: u64, to: u64) -> Vec<bool> {
    let mut told = vec![0; ((to - from) / page * 8) as usize];
    if pages.read_exact_at(&mut told, from / page * 8).is_err() {
        return Vec::new();
    }
    let is_own = |entry: &[u8; 8]| u64::from_ne_bytes(*entry) & (PRESENT | OF_A_FILE) == PRESENT;
    told.as_chunks().0.iter().map(is_own).collect()
}

/// Where pages lie that are the process's own, and how many in a row that are read at once.
fn runs(own: &[bool]) -> Vec<(usize, usize)> {
    let rows = own.chunk_by(|one, other| one == other).flat_map(|row| row.chunks(READ));
    let places = rows.scan(0, |at, row| Some((std::mem::replace(at, *at + row.len()), row)));
    places.filter(|(_, row)| row[0]).map(|(at, row)| (at, row.len())).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn all(pid: i32) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        read(pid, &mut |pages| {
            all.extend_from_slice(pages);
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn what_a_process_has_written_is_read_while_it_runs() {
        let script = "x = b'of-a-' + b'program' * 9999\nprint(1, flush=True)\ninput()";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let (pid, wanted) = (child.id().cast_signed(), ["of-a-", &"program".repeat(9999)].concat());
        let found = all(pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.len().is_multiple_of(page_bytes() as usize));
        assert!(found.windows(wanted.len()).any(|window| window == wanted.as_bytes()));
        assert!(all(pid).unwrap().is_empty());
    }

    #[test]
    fn a_process_that_has_ended_and_that_nobody_has_reaped_has_no_pages() {
        let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        // Its end of the pipe is closed when it is over.
        io::Read::read(&mut child.stdout.take().unwrap(), &mut [0]).unwrap();
        let pid = child.id().cast_signed();
        while !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        assert!(all(pid).unwrap().is_empty());
        child.wait().unwrap();
    }

    #[test]
    fn who_wants_no_more_is_heard_where_there_is_nothing() {
        let (bytes, flags) = (1 << 38, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: a new mapping that nobody uses.
        let nothing = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(nothing, libc::MAP_FAILED);
        let mut asked = 0;
        let own = std::process::id().cast_signed();
        read(own, &mut |pages| {
            asked += usize::from(pages.is_empty());
            Ok(())
        })
        .unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::munmap(nothing, bytes) }, 0);
        assert!(asked as u64 >= bytes as u64 / (LOOKED_AT * page_bytes()), "{asked}");
    }

    #[test]
    fn who_wants_no_more_ends_it() {
        let error = read(std::process::id().cast_signed(), &mut |_| Err(io::Error::other("enough")));
        assert_eq!(error.unwrap_err().to_string(), "enough");
    }

    #[test]
    fn only_private_mappings_of_the_program_are_read() {
        assert_eq!(own_mapping("1000-3000 rw-p 00000000 00:00 0 [heap]"), Some((0x1000, 0x3000)));
        assert_eq!(own_mapping("1000-3000 ---p 00000000 00:00 0 "), Some((0x1000, 0x3000)));
        assert_eq!(own_mapping("1000-3000 rw-s 00000000 00:01 77 /dev/zero (deleted)"), None);
        assert_eq!(own_mapping("1000-3000 r--p 00000000 00:00 0 [vvar]"), None);
        assert_eq!(own_mapping("1000-3000 rw-p 00000000 00:05 9 /dev/mem"), None);
        assert!(own_mapping("1000-3000 rw-p 00000000 00:05 9 /dev/zero").is_some());
    }

    #[test]
    fn pages_in_a_row_are_read_at_once() {
        assert_eq!(runs(&[false, true, true, false, true]), [(1, 2), (4, 1)]);
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[true; READ + 1]), [(0, READ), (READ, 1)]);
    }
}
