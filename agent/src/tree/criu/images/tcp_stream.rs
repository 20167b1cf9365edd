//! The image of a connection (`tcp-stream-INODE.img`): how far its two directions are.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use prost::Message;

use super::ImageError;
use super::wire::WireMessage;
use crate::base::limits;

/// How the images of connections are called, before the inode.
pub const STREAM_IMAGE: &str = "tcp-stream-";

/// `tcp_stream_entry`. What was received and what was not acknowledged yet follow it in the image.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct TcpStream {
    /// The number of the next byte that is received.
    #[prost(uint32, tag = "2")]
    pub received: u32,
    /// How many bytes the other side has not acknowledged.
    #[prost(uint32, tag = "3")]
    pub unacknowledged: u32,
    /// The number of the next byte that is written.
    #[prost(uint32, tag = "4")]
    pub written: u32,
    /// How many bytes were never sent, as the other side has no room for them.
    #[prost(uint32, tag = "12")]
    pub unsent: u32,
}

/// The number of that field.
const UNSENT: u64 = 12;

impl TcpStream {
    /// Reads that of the socket with this inode.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read(directory: &Path, inode: u32) -> Result<Self, ImageError> {
        let path = path(directory, inode);
        let mut head = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(limits::STREAM_HEAD_BYTES).read_to_end(&mut head))
            .map_err(|source| ImageError::Io { path: path.clone(), source })?;
        Self::parse(&head).map_err(|what| ImageError::Damaged { path, what })
    }

    fn parse(image: &[u8]) -> Result<Self, String> {
        let (_, record, _) = parts(image).ok_or(CUT)?;
        Self::decode(record).map_err(|error| error.to_string())
    }

    /// Has CRIU put what was never sent into the same place as what was: it would send it at once, to a socket that is not there yet, and
    /// who gets that answers by a reset. The kernel sends again what is not acknowledged.
    ///
    /// # Errors
    /// The image cannot be changed.
    pub fn take_as_sent(directory: &Path, inode: u32) -> Result<(), ImageError> {
        let path = path(directory, inode);
        let changed = fs::read(&path).and_then(|image| {
            let image = all_sent(&image).map_err(io::Error::other)?;
            fs::write(&path, image)
        });
        changed.map_err(|source| ImageError::Io { path, source })
    }

    /// Whether all that this side has written is either with the other one or still here, so that nothing of it is lost. Numbers go
    /// round. The end of what is written has one of its own, which CRIU does not count among what is not acknowledged: `is_ending`.
    pub fn fits(&self, is_ending: bool, other: &Self) -> bool {
        let unacknowledged = self.unacknowledged + u32::from(is_ending);
        let acknowledged = self.written.wrapping_sub(unacknowledged);
        other.received.wrapping_sub(acknowledged) <= unacknowledged
    }
}

fn path(directory: &Path, inode: u32) -> PathBuf {
    directory.join(format!("{STREAM_IMAGE}{inode:x}.img"))
}

const CUT: &str = "it ends within its record";

/// Two magic numbers with the record's length, the record, and what is queued.
fn parts(image: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (magic, rest) = image.split_at_checked(8)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (record, queues) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((magic, record, queues))
}

fn all_sent(image: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (magic, record, queues) = parts(image).ok_or(CUT)?;
    let mut message = WireMessage::parse(record)?;
    message.set_number(UNSENT, 0);
    let record = message.encode();
    Ok([magic, &(record.len() as u32).to_le_bytes(), &record, queues].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(received: u32, unacknowledged: u32, written: u32) -> TcpStream {
        TcpStream { received, unacknowledged, written, unsent: 0 }
    }

    #[test]
    fn what_is_neither_here_nor_there_is_lost() {
        let sender = stream(0, 100, 1000);
        let fits = |is_ending, received| sender.fits(is_ending, &stream(received, 0, 0));
        assert!([900, 950, 1000].into_iter().all(|received| fits(false, received) && fits(true, received)));
        assert!([898, 1001, 0].into_iter().all(|received| !fits(false, received) && !fits(true, received)));
        assert!(fits(true, 899) && !fits(false, 899));
        assert!(stream(0, 20, 10).fits(false, &stream(u32::MAX - 5, 0, 0)));
    }

    #[test]
    fn the_message_is_found_before_what_follows() {
        let message = stream(7, 8, 9).encode_to_vec();
        let length = (message.len() as u32).to_le_bytes();
        let image = [&[0; 8][..], &length, &message, b"queued"].concat();
        assert_eq!(TcpStream::parse(&image).unwrap(), stream(7, 8, 9));
        assert!(TcpStream::parse(&image[..14]).is_err());
    }

    #[test]
    fn what_was_never_sent_stays_where_it_is_queued() {
        let message = TcpStream { unsent: 300, ..stream(7, 800, 9) }.encode_to_vec();
        let image = [&[1; 8][..], &(message.len() as u32).to_le_bytes(), &message, b"queued"].concat();
        let changed = all_sent(&image).unwrap();
        assert_eq!(TcpStream::parse(&changed).unwrap(), stream(7, 800, 9));
        assert!(changed.starts_with(&[1; 8]) && changed.ends_with(b"queued"));
    }
}
