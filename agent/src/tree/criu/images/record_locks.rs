//! The record locks (fcntl(2)) in an image.

use std::path::Path;

use prost::Message;

use super::{ImageError, Images};

/// Of the kinds of locks in CRIU's image (`criu/include/file-lock.h`).
const POSIX: u32 = 1;

/// `file_lock_entry`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RecordLock {
    /// What kind of lock it is.
    #[prost(uint32, tag = "1")]
    pub flag: u32,
    /// `F_RDLCK` or `F_WRLCK`.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// Who holds it.
    #[prost(int32, tag = "3")]
    pub pid: i32,
    /// A descriptor of its file.
    #[prost(int32, tag = "4")]
    pub fd: i32,
    /// Its first byte.
    #[prost(int64, tag = "5")]
    pub start: i64,
    /// How many bytes; 0 for all there ever are.
    #[prost(int64, tag = "6")]
    pub length: i64,
}

/// The record locks that processes of the images in `directory` hold.
///
/// # Errors
/// An image is damaged.
pub fn record_locks(directory: &Path) -> Result<Vec<RecordLock>, ImageError> {
    let locks: Vec<RecordLock> = Images(directory).all_or_none("filelocks.img")?;
    Ok(locks.into_iter().filter(|lock| lock.flag == POSIX).collect())
}
