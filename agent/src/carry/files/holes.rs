//! Reads files around their holes.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// The next part of a file that is no hole, from `at` on (lseek(2)). A file system that knows no holes has one part.
///
/// # Errors
/// The file cannot be read.
pub fn extent(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let whole = (at < size).then_some((at, size));
    let seek = |from: u64, whence| lseek(file, from.cast_signed(), whence).map(i64::cast_unsigned);
    let offset = match seek(at, Whence::SeekData) {
        Ok(offset) => offset,
        Err(Errno::ENXIO) => return Ok(None),
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(whole),
        Err(error) => return Err(error.into()),
    };
    if offset >= size {
        return Ok(None);
    }
    let end = seek(offset, Whence::SeekHole).map_or(size, |end| end.min(size));
    Ok((end > offset).then_some((offset, end)))
}
