//! Large files of a volume.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::backend::durable::sync_range;
use crate::backend::large::{Sink, Source};
use crate::backend::no_links;
use crate::base::limits::PACK_SYNC_BYTES;
use crate::base::watchdog::moved;

/// One that is written.
pub struct Written {
    file: File,
    bytes: u64,
    /// Up to where the kernel was told to begin.
    begun: u64,
}

impl Written {
    /// A new one.
    ///
    /// # Errors
    /// There is something of that name, or it cannot be written.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, bytes: 0, begun: 0 })
    }

    fn sync(&self, offset: u64, bytes: u64, how: libc::c_uint) -> io::Result<()> {
        if bytes == 0 { Ok(()) } else { sync_range(&self.file, offset, bytes, how) }
    }
}

impl Sink for Written {
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

/// One that is read.
pub struct Opened(File);

impl Opened {
    /// The one at `path`, if that is a file and no link.
    ///
    /// # Errors
    /// It is not.
    pub fn open(path: &Path) -> io::Result<Self> {
        no_links::open_file(path).map(Self)
    }
}

impl Source for Opened {
    fn bytes(&self) -> io::Result<u64> {
        moved();
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        moved();
        self.0.read_exact_at(bytes, offset)
    }
}
