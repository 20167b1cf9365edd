//! The text of all nodes, which all lists and streams share: it is written once for each version that anybody asks for, beside
//! the threads that answer polls.

mod body;
mod counted;
mod page;
mod selection;
mod shelf;
mod text;
mod written;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

pub use self::body::{Parts, Portions, Whole};
pub use self::page::Page;
pub use self::selection::{Selection, Wanted};
use self::shelf::Shelf;
pub use self::text::{Text, Withdrawn};
use crate::base::limits;
use crate::index::{Index, Version};

/// Texts of all nodes.
#[derive(Clone)]
pub struct Lists {
    index: Arc<Index>,
    writer: Arc<Mutex<Writer>>,
    shelf: Shelf,
    /// How many bytes all texts have that are there.
    held: Arc<AtomicUsize>,
}

/// Writes one text at a time.
struct Writer {
    newest: Option<Arc<Text>>,
    /// Those that are there.
    shelf: Shelf,
    /// Places for texts.
    free: Arc<Semaphore>,
    /// When the next one may be begun.
    not_before: Instant,
}

impl Lists {
    /// None yet, of these nodes.
    pub fn new(index: Arc<Index>) -> Self {
        let free = Arc::new(Semaphore::new(limits::TEXTS));
        let shelf = Shelf::default();
        let writer = Writer { newest: None, shelf: shelf.clone(), free, not_before: Instant::now() };
        Self { index, writer: Arc::new(Mutex::new(writer)), shelf, held: Arc::default() }
    }

    /// A text that has all that is known now. None until the first list is complete.
    pub async fn now(&self) -> Option<Arc<Text>> {
        let wanted = self.index.version()?;
        let writer = Arc::clone(&self.writer).lock_owned().await;
        if let Some(newest) = writer.newest.as_ref().filter(|text| text.version.is_as_new_as(wanted)) {
            return Some(Arc::clone(newest));
        }
        // It goes on without the caller: clients that come and go would have many written at a time.
        tokio::spawn(self.clone().write(writer)).await.ok()?
    }

    /// The text of a version that a page was read of, if it is still there.
    pub fn at(&self, version: Version) -> Option<Arc<Text>> {
        self.shelf.find(version)
    }

    /// Keeps a text for a while for who has read a page of it, and comes for the next.
    pub fn keep(&self, text: &Arc<Text>) {
        if !text.keep() {
            return;
        }
        let text = Arc::clone(text);
        tokio::spawn(async move {
            while let Some(until) = text.kept() {
                sleep_until(until).await;
            }
        });
    }

    /// The text in gzip, which is made once; none if it was withdrawn meanwhile.
    pub async fn zipped(&self, text: &Arc<Text>) -> Option<Whole> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        if let Some(there) = Whole::zipped(Arc::clone(text)) {
            return Some(there);
        }
        // As above.
        tokio::spawn(zip(Arc::clone(text), writer)).await.ok()?
    }

    /// How many bytes the texts have that are there.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    async fn write(self, mut writer: OwnedMutexGuard<Writer>) -> Option<Arc<Text>> {
        let place = writer.room().await?;
        sleep_until(writer.not_before).await;
        let (index, held) = (Arc::clone(&self.index), Arc::clone(&self.held));
        let began = Instant::now();
        let text = tokio::task::spawn_blocking(move || Text::write(&index, place, held)).await.ok()??;
        let text = Arc::new(text);
        writer.rest(began);
        writer.shelf.add(&text);
        writer.newest = Some(Arc::clone(&text));
        drop(writer);
        tokio::spawn(self.forget(Arc::downgrade(&text)));
        Some(text)
    }

    /// Keeps a text no longer than needed for those who may come.
    async fn forget(self, text: Weak<Text>) {
        sleep(limits::TEXT_KEPT).await;
        let mut writer = self.writer.lock().await;
        if writer.newest.as_ref().is_some_and(|newest| Weak::ptr_eq(&Arc::downgrade(newest), &text)) {
            writer.newest = None;
        }
    }
}

async fn zip(text: Arc<Text>, mut writer: OwnedMutexGuard<Writer>) -> Option<Whole> {
    let (began, written) = (Instant::now(), text.written().ok()?);
    tokio::task::spawn_blocking(move || written.zip()).await.ok()?;
    writer.rest(began);
    Whole::zipped(text)
}

impl Writer {
    /// A place for another text. If there is none, the oldest text is taken from those who still read it once they have had
    /// their time.
    async fn room(&mut self) -> Option<OwnedSemaphorePermit> {
        self.newest = None;
        loop {
            // Who reads one may be through with it.
            let soon = Instant::now() + Duration::from_secs(1);
            let due = self.shelf.next_due().map_or(soon, |due| due.min(soon));
            match timeout_at(due, Arc::clone(&self.free).acquire_owned()).await {
                Ok(place) => return place.ok(),
                Err(_) => self.shelf.withdraw(Instant::now()),
            }
        }
    }

    /// After work that began then, no more is done for some times as long.
    fn rest(&mut self, began: Instant) {
        let now = Instant::now();
        self.not_before = self.not_before.max(now) + (now - began) * limits::TEXT_PAUSE;
    }
}

#[cfg(test)]
mod tests;
