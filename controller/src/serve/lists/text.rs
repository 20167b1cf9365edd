//! One text of all nodes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::base::limits;
use crate::index::{Index, Version};

/// A `NodeList` in JSON, without a line break. It can be withdrawn while it is read.
pub struct Text {
    /// It has all changes up to this one, and perhaps some later ones.
    pub version: Version,
    /// When it was written.
    pub born: Instant,
    length: usize,
    pieces: Mutex<Option<Pieces>>,
}

/// Its pieces, as long as they are there.
struct Pieces {
    pieces: Vec<Bytes>,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

/// That the text was taken from its readers.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("the client reads too slowly, and others want to")]
pub struct Withdrawn;

/// Counts the bytes of a text that is there.
struct Counted {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Text {
    /// Writes it. Others see the index meanwhile. None until the first list is complete.
    pub fn write(index: &Index, place: OwnedSemaphorePermit, held: Arc<AtomicUsize>) -> Option<Self> {
        let version = index.version()?;
        let pieces = write(index);
        let length = pieces.iter().map(Bytes::len).sum();
        held.fetch_add(length, Ordering::Relaxed);
        let _counted = Counted { held, bytes: length };
        let pieces = Mutex::new(Some(Pieces { pieces, _place: place, _counted }));
        Some(Self { version, born: Instant::now(), length, pieces })
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.length
    }

    /// One of its pieces; none behind the last.
    ///
    /// # Errors
    /// It was withdrawn.
    pub fn piece(&self, number: usize) -> Result<Option<Bytes>, Withdrawn> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(pieces.as_ref().ok_or(Withdrawn)?.pieces.get(number).cloned())
    }

    /// Takes it from its readers.
    pub fn withdraw(&self) {
        drop(self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// In pieces of [`limits::PORTION`] or a little more. One large buffer would have to be moved as it grows.
fn write(index: &Index) -> Vec<Bytes> {
    let (mut pieces, mut piece) = (Vec::new(), br#"{"nodes":["#.to_vec());
    let (mut after, mut comma): (Option<String>, &[u8]) = (None, b"");
    loop {
        let page = index.page(after.as_deref());
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        for status in page {
            piece.extend_from_slice(std::mem::replace(&mut comma, b","));
            // Into memory, and of a type that can always be written.
            let _ = serde_json::to_writer(&mut piece, &status);
            if piece.len() >= limits::PORTION {
                pieces.push(Bytes::from(std::mem::take(&mut piece).into_boxed_slice()));
            }
        }
    }
    piece.extend_from_slice(b"]}");
    pieces.push(piece.into());
    pieces
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
