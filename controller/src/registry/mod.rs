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
pub use self::image::Image;
use self::lookup::Lookup;
use self::transport::Transport;
use crate::base::limits;

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
    places: Arc<Semaphore>,
}

/// What an answer is remembered by. A private image is known to those alone who may pull it.
type Key = (Question, Option<String>);

/// An answer, and for how long it counts.
#[derive(Clone)]
struct Known {
    answer: Result<Arc<Image>, Arc<LookupError>>,
    counts: Duration,
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
            .weigher(|(question, _): &Key, known: &Known| weight(question, known))
            .expire_after(AsLongAsItCounts);
        Ok(Self {
            transport: Arc::new(Transport::new(hosts)?),
            known: known.build(),
            places: Arc::new(Semaphore::new(limits::LOOKUPS_AT_ONCE)),
        })
    }

    /// What the image starts. `whose` says who may pull it, if `credentials` are needed for that; they are read only if it is not known.
    /// A lookup that takes longer goes on, so that the next pod of the image may find it known.
    ///
    /// # Errors
    /// Why that is not known, in few words.
    pub async fn image<Read>(
        &self,
        question: Question,
        whose: Option<String>,
        credentials: Read,
    ) -> Result<Arc<Image>, String>
    where
        Read: Future<Output = Credentials> + Send + 'static,
    {
        let registries = self.clone();
        let looked_up = tokio::spawn(async move {
            let key = (question.clone(), whose);
            registries.known.get_with(key, registries.known_of(&question, credentials)).await
        });
        match timeout(limits::LOOKUP_PATIENCE, looked_up).await {
            Ok(Ok(known)) => known.answer.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("the lookup has failed, which is a defect".to_owned()),
            Err(_) => Err(LookupError::Slow(limits::LOOKUP_PATIENCE).to_string()),
        }
    }

    async fn known_of(&self, question: &Question, credentials: impl Future<Output = Credentials>) -> Known {
        let counts = |answer: &Result<_, _>| match answer {
            Ok(_) if question.image.contains('@') => limits::DIGEST_KNOWN,
            Ok(_) => limits::TAG_KNOWN,
            Err(_) => limits::FAILED_LOOKUP_KNOWN,
        };
        let answer = self.ask(question, credentials).await.map(Arc::new).map_err(Arc::new);
        Known { counts: counts(&answer), answer }
    }

    async fn ask(
        &self,
        question: &Question,
        credentials: impl Future<Output = Credentials>,
    ) -> Result<Image, LookupError> {
        let reference: Reference = question.image.parse().map_err(|_| LookupError::Name)?;
        let _place = self.places.try_acquire().map_err(|_| LookupError::Busy)?;
        let whole = async {
            let credential = credentials.await.of(&reference);
            Lookup::new(&self.transport, reference, credential).image(&question.architectures).await
        };
        timeout(limits::LOOKUP_TIMEOUT, whole).await.unwrap_or(Err(LookupError::Slow(limits::LOOKUP_TIMEOUT)))
    }
}

/// In bytes, about.
fn weight(question: &Question, known: &Known) -> u32 {
    let words = known.answer.as_ref().map_or(0, |image| image.bytes());
    u32::try_from(limits::IMAGE_KNOWN_OVERHEAD + question.image.len() + words).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
