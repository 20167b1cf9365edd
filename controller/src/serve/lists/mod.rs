//! The text of all nodes, which all lists and streams share: it is written once for each version that anybody asks for, beside
//! the threads that answer polls.

mod body;
mod text;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

pub use self::body::Portions;
pub use self::text::{Text, Withdrawn};
use crate::base::limits;
use crate::index::Index;

/// Texts of all nodes.
#[derive(Clone)]
pub struct Lists {
    index: Arc<Index>,
    writer: Arc<Mutex<Writer>>,
    /// How many bytes all texts have that are there.
    held: Arc<AtomicUsize>,
}

/// Writes one text at a time.
struct Writer {
    newest: Option<Arc<Text>>,
    /// Those that are read, the oldest first.
    read: VecDeque<Weak<Text>>,
    /// Places for texts.
    free: Arc<Semaphore>,
    /// When the next one may be begun.
    not_before: Instant,
}

impl Lists {
    /// None yet, of these nodes.
    pub fn new(index: Arc<Index>) -> Self {
        let free = Arc::new(Semaphore::new(limits::TEXTS));
        let writer = Writer { newest: None, read: VecDeque::new(), free, not_before: Instant::now() };
        Self { index, writer: Arc::new(Mutex::new(writer)), held: Arc::default() }
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
        writer.not_before = Instant::now() + began.elapsed() * limits::TEXT_PAUSE;
        writer.read.push_back(Arc::downgrade(&text));
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

impl Writer {
    /// A place for another text. If there is none, the oldest text is taken from those who still read it once they have had
    /// their time.
    async fn room(&mut self) -> Option<OwnedSemaphorePermit> {
        self.newest = None;
        loop {
            self.read.retain(|text| text.strong_count() > 0);
            let due = self.read.front().and_then(Weak::upgrade).map(|oldest| oldest.born + limits::TEXT_READ);
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
            match timeout_at(due, Arc::clone(&self.free).acquire_owned()).await {
                Ok(place) => return place.ok(),
                Err(_) => drop(
                    self.read.pop_front().and_then(|text| Weak::upgrade(&text)).map(|text| text.withdraw()),
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests;
