//! Packs as files of a volume: new ones below the hold of who writes them, those of committed checkpoints in a directory that all of
//! them share.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use crate::backend::durable::sync_range;
use crate::base::limits::PACK_SYNC_BYTES;
use crate::base::watchdog::moved;
use crate::chunks::pack::{PackName, PackPlace, PackSink, PackSource};

/// Where the packs are.
#[derive(Debug, Clone)]
pub struct PackDirectories {
    /// New ones, which nobody refers to yet.
    pub fresh: PathBuf,
    /// Those to which a generation may refer.
    pub shared: PathBuf,
}

impl PackPlace for PackDirectories {
    fn create(&self, name: PackName) -> io::Result<Box<dyn PackSink>> {
        let path = self.fresh.join(name.to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(Written { file, bytes: 0, begun: 0 }))
    }

    fn open(&self, name: PackName) -> io::Result<Box<dyn PackSource>> {
        let open = |directory: &PathBuf| {
            let no_links = libc::O_NOFOLLOW | libc::O_NONBLOCK;
            OpenOptions::new().read(true).custom_flags(no_links).open(directory.join(name.to_string()))
        };
        let shared = open(&self.shared);
        let found = shared.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => open(&self.fresh).map_err(|_| error),
            _ => Err(error),
        });
        Ok(Box::new(Read(found?)))
    }
}

struct Written {
    file: File,
    bytes: u64,
    /// Up to where the kernel was told to begin.
    begun: u64,
}

impl PackSink for Written {
    /// What was written is on its way while more is, and is waited for one step behind: so the end does not take long, and who measures
    /// this measures the volume and not the memory.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        moved();
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        if self.bytes - self.begun >= PACK_SYNC_BYTES {
            let (begun, fresh) = (self.begun, self.bytes - self.begun);
            self.sync(begun, fresh, libc::SYNC_FILE_RANGE_WRITE)?;
            let before = begun.saturating_sub(PACK_SYNC_BYTES);
            self.sync(before, begun - before, libc::SYNC_FILE_RANGE_WAIT_BEFORE)?;
            self.begun = self.bytes;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        moved();
        self.file.sync_all()
    }
}

impl Written {
    fn sync(&self, offset: u64, bytes: u64, how: libc::c_uint) -> io::Result<()> {
        if bytes == 0 { Ok(()) } else { sync_range(&self.file, offset, bytes, how) }
    }
}

struct Read(File);

impl PackSource for Read {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        moved();
        self.0.read_exact_at(bytes, offset)
    }
}

/// The names of the packs in a directory; none if there is no directory.
///
/// # Errors
/// It cannot be read.
pub fn names(directory: &std::path::Path) -> io::Result<Vec<PackName>> {
    moved();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<PackName>().ok()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_read_where_it_is_and_what_is_none_is_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        let [fresh, shared] = ["fresh", "shared"].map(|name| dir.path().join(name));
        [&fresh, &shared].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        let place = PackDirectories { fresh: fresh.clone(), shared: shared.clone() };
        let name = PackName::random().unwrap();
        let mut sink = place.create(name).unwrap();
        sink.write(b"one").unwrap();
        sink.write(&vec![7; PACK_SYNC_BYTES as usize]).unwrap();
        sink.write(b"two").unwrap();
        sink.finish().unwrap();
        assert!(place.create(name).is_err());
        let read = |offset| {
            let mut bytes = [0; 3];
            place.open(name).and_then(|pack| pack.read_exact_at(&mut bytes, offset)).map(|()| bytes)
        };
        assert_eq!(read(0).unwrap(), *b"one");
        assert_eq!(read(3 + PACK_SYNC_BYTES).unwrap(), *b"two");
        assert_eq!(read(4 + PACK_SYNC_BYTES).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        fs::rename(fresh.join(name.to_string()), shared.join(name.to_string())).unwrap();
        assert_eq!(read(0).unwrap(), *b"one");
        fs::write(shared.join("lost+found"), "").unwrap();
        assert_eq!(names(&shared).unwrap(), [name]);
        assert_eq!(names(&dir.path().join("none")).unwrap(), []);
    }
}
