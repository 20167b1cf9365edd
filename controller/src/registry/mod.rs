//! What the image of a container starts, by its registry. An image's name is chosen by whoever creates a pod, so a registry is a
//! stranger: see [`addresses`] and [`transport`]. May import `base`.

mod addresses;
mod authorization;
mod credentials;
mod error;
mod host;
mod image;
mod lookup;
mod transport;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use moka::Expiry;
use moka::future::Cache;
use oci_spec::distribution::Reference;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::credentials::Credentials;
use self::error::LookupError;
pub use self::host::Host;
pub use self::image::{ARCHITECTURES, Image};
use self::lookup::Lookup;
use self::transport::Transport;
use crate::base::limits;
use crate::base::turns::Turns;

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The image, as the container names it.
    pub image: String,
    /// The architectures of the nodes that the pod may run on; none if that may be any.
    pub architectures: Vec<String>,
}

/// Asks registries, and remembers what they have said.
#[derive(Clone)]
pub struct Registries {
    transport: Arc<Transport>,
    known: Cache<Key, Known>,
    /// What each namespace waits for. It keeps nothing: those who ask for the same share an answer, and the turn that it needs.
    asked: Cache<(String, Key), Known>,
    turns: Arc<Turns<String>>,
    places: Arc<Semaphore>,
    /// For all who wait, also for what somebody else looks up.
    waiting: Arc<Semaphore>,
}

/// What an answer is remembered by. A private image is known to those alone who may pull it.
type Key = (Question, Option<String>);

/// An answer, and for how long it counts.
#[derive(Clone)]
struct Known {
    answer: Result<Arc<Image>, Arc<LookupError>>,
    counts: Duration,
}

impl Known {
    /// That there was no place is nothing that is known of the image, and does not count for the next pod.
    fn busy() -> Self {
        Self { answer: Err(Arc::new(LookupError::Busy)), counts: Duration::ZERO }
    }

    fn said(self) -> Result<Arc<Image>, String> {
        self.answer.map_err(|error| error.to_string())
    }
}

struct AsLongAsItCounts;

impl Expiry<Key, Known> for AsLongAsItCounts {
    fn expire_after_create(&self, _: &Key, known: &Known, _: Instant) -> Option<Duration> {
        Some(known.counts)
    }
}

impl Registries {
    /// Some of which are reached in a way of their own.
    ///
    /// # Errors
    /// The file of an authority cannot be used.
    pub fn new(hosts: &[Host]) -> Result<Self> {
        let known = Cache::builder()
            .max_capacity(limits::IMAGES_KNOWN_BYTES)
            .weigher(weight)
            .expire_after(AsLongAsItCounts);
        Ok(Self {
            transport: Arc::new(Transport::new(hosts)?),
            known: known.build(),
            asked: Cache::builder().max_capacity(0).build(),
            turns: Arc::new(Turns::new(limits::LOOKUPS_PER_NAMESPACE)),
            places: Arc::new(Semaphore::new(limits::LOOKUPS_AT_ONCE)),
            waiting: Arc::new(Semaphore::new(limits::LOOKUPS_WAITING)),
        })
    }

    /// What the image starts, for a pod of the namespace. `whose` says who may pull it, if `credentials` are needed for that; they are
    /// read only if it is not known. A lookup that takes longer goes on, so that the next pod of the image may find it known.
    ///
    /// # Errors
    /// Why that is not known, in few words.
    pub async fn image<Read>(
        &self,
        question: Question,
        namespace: &str,
        whose: Option<String>,
        credentials: Read,
    ) -> Result<Arc<Image>, String>
    where
        Read: Future<Output = Credentials> + Send + 'static,
    {
        if question.image.len() > limits::IMAGE_NAME_MAX {
            return Err(LookupError::Name.to_string());
        }
        let key = (question, whose);
        if let Some(known) = self.known.get(&key).await {
            return known.said();
        }
        let looked_up = tokio::spawn(self.clone().looked_up(namespace.to_owned(), key, credentials));
        match timeout(limits::LOOKUP_PATIENCE, looked_up).await {
            Ok(Ok(known)) => known.said(),
            Ok(Err(_)) => Err("the lookup has failed, which is a defect".to_owned()),
            Err(_) => Err(LookupError::Slow(limits::LOOKUP_PATIENCE).to_string()),
        }
    }

    /// Each namespace has a few turns, so that none holds up the images of another.
    async fn looked_up(
        self,
        namespace: String,
        key: Key,
        credentials: impl Future<Output = Credentials>,
    ) -> Known {
        let Ok(_waiting) = self.waiting.try_acquire() else { return Known::busy() };
        let (whose_turn, known_by) = (namespace.clone(), key.clone());
        let in_turn = async {
            let turn = timeout(limits::LOOKUP_QUEUE, self.turns.next(whose_turn)).await;
            let Ok(Some(_turn)) = turn else { return Known::busy() };
            self.known.get_with(known_by.clone(), self.known_of(&known_by.0, credentials)).await
        };
        self.asked.get_with((namespace, key), in_turn).await
    }

    async fn known_of(&self, question: &Question, credentials: impl Future<Output = Credentials>) -> Known {
        let counts = |answer: &Result<_, _>| match answer {
            Ok(_) if question.image.contains('@') => limits::DIGEST_KNOWN,
            Ok(_) => limits::TAG_KNOWN,
            Err(LookupError::Busy) => Duration::ZERO,
            Err(_) => limits::FAILED_LOOKUP_KNOWN,
        };
        let answer = self.ask(question, credentials).await;
        let counts = counts(&answer);
        Known { counts, answer: answer.map(Arc::new).map_err(Arc::new) }
    }

    async fn ask(
        &self,
        question: &Question,
        credentials: impl Future<Output = Credentials>,
    ) -> Result<Image, LookupError> {
        let reference: Reference = question.image.parse().map_err(|_| LookupError::Name)?;
        let place = timeout(limits::LOOKUP_QUEUE, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(LookupError::Busy) };
        let whole = async {
            let credential = credentials.await.of(&reference);
            Lookup::new(&self.transport, reference, credential).image(&question.architectures).await
        };
        timeout(limits::LOOKUP_TIMEOUT, whole).await.unwrap_or(Err(LookupError::Slow(limits::LOOKUP_TIMEOUT)))
    }
}

/// In bytes, about.
fn weight((question, whose): &Key, known: &Known) -> u32 {
    let words = known.answer.as_ref().map_or(0, |image| image.bytes());
    let architectures: usize = question.architectures.iter().map(String::len).sum();
    let key = question.image.len() + architectures + whose.as_ref().map_or(0, String::len);
    u32::try_from(limits::IMAGE_KNOWN_OVERHEAD + key + words).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
