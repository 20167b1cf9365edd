//! Tells the locks in an image apart.

use prost::Message as _;

use super::messages::{FLOCK, FileLock, POSIX};
use super::records::{header, split};

/// The image of all locks.
pub const LOCKS_IMAGE: &str = "filelocks.img";

/// The locks of an image.
#[derive(Debug, Clone, Default)]
pub struct FileLocks {
    /// Record locks (fcntl(2)), which a process has.
    pub of_records: Vec<FileLock>,
    /// Locks of whole files (flock(2)), which an open file has.
    pub of_files: Vec<FileLock>,
    /// The image with all others, such as leases.
    pub others: Vec<u8>,
}

impl FileLocks {
    /// Whether there are none but others.
    pub fn is_empty(&self) -> bool {
        self.of_records.is_empty() && self.of_files.is_empty()
    }

    /// Takes the contents of an image apart.
    ///
    /// # Errors
    /// They are none of an image of locks.
    pub fn parse(image: &[u8]) -> Result<Self, String> {
        let mut locks = Self { others: header(image).to_vec(), ..Self::default() };
        for record in split(image)? {
            let lock = FileLock::decode(&*record).map_err(|error| error.to_string())?;
            match lock.flag {
                POSIX => locks.of_records.push(lock),
                FLOCK => locks.of_files.push(lock),
                _ => {
                    locks.others.extend((record.len() as u32).to_le_bytes());
                    locks.others.extend(record);
                }
            }
        }
        Ok(locks)
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::joined;
    use super::*;

    #[test]
    fn what_is_neither_of_a_record_nor_of_a_file_stays_in_the_image() {
        let lock = |flag, pid| FileLock { flag, pid, ..FileLock::default() };
        let image = |locks: &[FileLock]| joined(7, locks.iter().map(FileLock::encode_to_vec));
        let (record, file, lease) = (lock(POSIX, 1), lock(FLOCK, 2), lock(8, 3));
        let locks = FileLocks::parse(&image(&[record.clone(), lease.clone(), file.clone()])).unwrap();
        assert_eq!((locks.of_records, locks.of_files), (vec![record], vec![file]));
        assert_eq!(locks.others, image(&[lease]));
        assert!(FileLocks::parse(b"no image").is_err());
    }
}
