//! How many bytes of memory a dump of a tree writes.
//!
//! CRIU writes the anonymous pages of each process, also those that it still shares with the process that it was forked from; and
//! once, however many have it, what has no name: shared memory, memory files, and files that were removed while they were open.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::snapshot::Tree;

/// How the kernel ends the path of what has no name (proc(5)).
const NAMELESS: &str = " (deleted)";

/// How it calls memory in huge pages.
const HUGE: &str = "/anon_hugepage";

impl Tree {
    /// Bytes that a dump writes. What is swapped out counts, and pages of files that have a name do not.
    pub fn bytes_to_dump(&self) -> u64 {
        let mut memory = Memory::default();
        self.0.iter().for_each(|process| memory.add(process.pid));
        memory.own + memory.nameless.values().sum::<u64>()
    }
}

#[derive(Debug, Default)]
struct Memory {
    /// What each process has of its own.
    own: u64,
    /// What has no name, by device and inode.
    nameless: BTreeMap<(u64, u64), u64>,
}

impl Memory {
    fn add(&mut self, pid: i32) {
        let process = format!("/proc/{pid}");
        let status = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let maps = fs::read(format!("{process}/maps")).unwrap_or_default();
        let shown = field(&status, "RssShmem:");
        let mut huge = field(&status, "HugetlbPages:");
        for mapped in String::from_utf8_lossy(&maps).lines().filter_map(mapped) {
            if mapped.is_huge && !mapped.is_shared {
                continue;
            }
            if mapped.is_huge {
                huge = huge.saturating_sub(mapped.bytes);
            }
            let link = format!("{process}/map_files/{}", mapped.range);
            // To follow the link takes a right that the agent may not have.
            if !self.add_nameless(Path::new(&link)) && mapped.is_shared {
                let known = self.nameless.entry((u64::MAX, mapped.inode)).or_default();
                *known = (*known).max(mapped.bytes.min(shown));
            }
        }
        self.own += field(&status, "RssAnon:") + field(&status, "VmSwap:") + huge;
        let open = fs::read_dir(format!("{process}/fd")).into_iter().flatten().flatten();
        for link in open.map(|entry| entry.path()) {
            if fs::read_link(&link).is_ok_and(|to| to.to_string_lossy().ends_with(NAMELESS)) {
                self.add_nameless(&link);
            }
        }
    }

    /// Whether it could be asked. A block of stat(2) has 512 bytes.
    fn add_nameless(&mut self, link: &Path) -> bool {
        let Ok(meta) = fs::metadata(link) else { return false };
        if meta.is_file() && meta.nlink() == 0 {
            self.nameless.insert((meta.dev(), meta.ino()), meta.blocks().saturating_mul(512));
        }
        true
    }
}

/// A mapping of something that has no name.
#[derive(Debug, PartialEq, Eq)]
struct Mapped<'a> {
    range: &'a str,
    bytes: u64,
    is_shared: bool,
    is_huge: bool,
    inode: u64,
}

/// Reads a line of /proc/PID/maps. None if that is not of what has no name.
fn mapped(line: &str) -> Option<Mapped<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    let (inode, name) = (words.nth(2)?.parse().ok()?, words.next()?);
    let (from, to) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    line.ends_with(NAMELESS).then_some(())?;
    Some(Mapped {
        range,
        bytes: address(to)?.checked_sub(address(from)?)?,
        is_shared: rights.ends_with('s'),
        is_huge: name == HUGE,
        inode,
    })
}

/// A field of /proc/PID/status in bytes. They are in kB.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::io::Write;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    #[test]
    fn what_has_no_name_counts_once_and_only_what_there_is_of_it() {
        let mut file: fs::File =
            memfd_create(&*CString::new("of-a-test").unwrap(), MFdFlags::empty()).unwrap().into();
        file.write_all(&vec![1; 3 << 20]).unwrap();
        file.set_len(1 << 40).unwrap();
        let (_other, ino) = (file.try_clone().unwrap(), file.metadata().unwrap().ino());
        let mut memory = Memory::default();
        memory.add(std::process::id().cast_signed());
        memory.add(std::process::id().cast_signed());
        let found: Vec<u64> =
            memory.nameless.iter().filter(|((_, inode), _)| *inode == ino).map(|(_, bytes)| *bytes).collect();
        assert_eq!(found, [3 << 20]);
    }

    #[test]
    fn mappings_without_a_name_are_told_apart() {
        let told = |line| mapped(line).map(|mapped| (mapped.bytes, mapped.is_shared, mapped.is_huge));
        assert_eq!(told("1000-3000 rw-s 00000000 00:01 77 /dev/zero (deleted)"), Some((0x2000, true, false)));
        assert_eq!(
            told("1000-3000 rw-s 00000000 00:01 77 /memfd:a b (deleted)"),
            Some((0x2000, true, false))
        );
        assert_eq!(
            told("200000-400000 rw-p 0 00:0f 5 /anon_hugepage (deleted)"),
            Some((1 << 21, false, true))
        );
        assert_eq!(told("1000-3000 rw-s 00000000 00:2f 77 /dev/shm/named"), None);
        assert_eq!(told("1000-3000 rw-p 00000000 00:00 0 "), None);
        assert_eq!(told("1000-3000 rw-p 00000000 00:00 0 [heap]"), None);
    }

    #[test]
    fn what_is_swapped_out_and_huge_pages_are_read() {
        let status = "Name:\tx\nRssAnon:\t     100 kB\nVmSwap:\t      20 kB\nHugetlbPages:\t    2048 kB\n";
        let fields = ["RssAnon:", "VmSwap:", "HugetlbPages:", "RssShmem:"].map(|name| field(status, name));
        assert_eq!(fields, [100 << 10, 20 << 10, 2 << 20, 0]);
    }
}
