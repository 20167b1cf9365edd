//! One text of all nodes.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::written::Written;
use crate::base::limits;
use crate::index::{Index, Version};

/// A `NodeList` in JSON, without a line break. It can be withdrawn while it is read.
pub struct Text {
    /// It has all changes up to this one, and perhaps some later ones.
    pub version: Version,
    /// When it was written.
    born: Instant,
    length: usize,
    written: Mutex<Option<Arc<Written>>>,
    /// Until when it is kept for those who read it in pages, if anybody does.
    kept: Mutex<Option<Instant>>,
}

/// That the text was taken from its readers.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("the client reads too slowly, and others want to")]
pub struct Withdrawn;

impl Text {
    /// Writes it. Others see the index meanwhile. None until the first list is complete.
    pub fn write(index: &Index, place: OwnedSemaphorePermit, held: Arc<AtomicUsize>) -> Option<Self> {
        let version = index.version()?;
        let written = Written::write(index, place, held);
        let (born, length) = (Instant::now(), written.plain.iter().map(Bytes::len).sum());
        Some(Self {
            version,
            born,
            length,
            written: Mutex::new(Some(Arc::new(written))),
            kept: Mutex::default(),
        })
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.length
    }

    /// What is written. For a moment: it stays there as long as this does.
    ///
    /// # Errors
    /// It was withdrawn.
    pub fn written(&self) -> Result<Arc<Written>, Withdrawn> {
        lock(&self.written).clone().ok_or(Withdrawn)
    }

    /// One of its pieces; none behind the last.
    ///
    /// # Errors
    /// It was withdrawn.
    pub fn piece(&self, number: usize) -> Result<Option<Bytes>, Withdrawn> {
        Ok(self.written()?.plain.get(number).cloned())
    }

    /// Takes it from its readers.
    pub fn withdraw(&self) {
        drop(lock(&self.written).take());
    }

    /// Is to be kept for who has read a page of it. True if nobody sees to that yet.
    pub fn keep(&self) -> bool {
        lock(&self.kept).replace(Instant::now() + limits::TEXT_KEPT).is_none()
    }

    /// Until when it is kept for pages. None when that time is over, and then somebody else has to see to it.
    pub fn kept(&self) -> Option<Instant> {
        let mut kept = lock(&self.kept);
        *kept = kept.filter(|until| *until > Instant::now());
        *kept
    }

    /// From when on another one may take its place, if so many have it.
    pub fn due(&self, holders: usize) -> Instant {
        // One who keeps it, and nobody who reads.
        let between_pages = holders == 1 && lock(&self.kept).is_some();
        self.born + if between_pages { limits::TEXT_PAGED } else { limits::TEXT_READ }
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
