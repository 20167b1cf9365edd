//! Tells a dump the paths of inodes that are watched: CRIU looks into a cache of its own before it searches for them (criu/irmap.c,
//! `irmap_load_cache`), which it reads from the directory of its images after the pause before the freeze.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use prost::Message;

use super::records::joined;

/// How the cache is called.
pub const PATHS_FILE: &str = "irmap-cache";

/// What it begins with (criu/include/magic.h).
const IRMAP_CACHE_MAGIC: u32 = 0x5700_4059;

/// An inode and its path (images/fh.proto), which may be any bytes.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(uint32, required, tag = "1")]
    device: u32,
    #[prost(uint64, required, tag = "2")]
    inode: u64,
    #[prost(bytes = "vec", required, tag = "3")]
    path: Vec<u8>,
}

/// The contents of that file: each path with its file system's device as the kernel has it, and the number of its inode.
pub fn paths_file<'a>(paths: impl Iterator<Item = (u32, u64, &'a Path)>) -> Vec<u8> {
    let record = |(device, inode, path): (u32, u64, &Path)| {
        Entry { device, inode, path: path.as_os_str().as_bytes().to_vec() }.encode_to_vec()
    };
    joined(IRMAP_CACHE_MAGIC, paths.map(record))
}

#[cfg(test)]
mod tests {
    use super::super::records::split;
    use super::*;

    #[test]
    fn it_has_a_record_for_each_path() {
        let file = paths_file([(0x30_0001, 7, Path::new("/srv/a")), (0, 0, Path::new("/b"))].into_iter());
        let records = split(&file).unwrap();
        let entries: Vec<Entry> = records.iter().map(|record| Entry::decode(&**record).unwrap()).collect();
        assert_eq!(entries[0], Entry { device: 0x30_0001, inode: 7, path: b"/srv/a".to_vec() });
        // All fields are there, also where they are zero.
        assert_eq!(records[1], [8, 0, 16, 0, 26, 2, b'/', b'b']);
    }
}
