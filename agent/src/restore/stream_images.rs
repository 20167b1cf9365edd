//! Gives CRIU what it restores of memory from the streams of a generation: here CRIU's end and the store's meet. Each part is compared
//! when it is given, so that nothing was read before only to be verified.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crik_store::chunks::read::{ChunkReader, ReadError};
use crik_store::generation::verify::VerifyError;
use crik_store::image_dir::layout;

use crate::base::panics::locked;
use crate::tree::criu::PagesSource;

/// The streams of a generation.
pub struct StreamImages {
    streams: Arc<ChunkReader>,
    failed: Mutex<Option<Arc<VerifyError>>>,
}

impl StreamImages {
    /// Those that this reads.
    pub fn new(streams: Arc<ChunkReader>) -> Arc<Self> {
        Arc::new(Self { streams, failed: Mutex::default() })
    }

    /// The names of all images.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let streams = &self.streams.index().streams;
        streams.iter().filter_map(|stream| stream.name.strip_prefix(layout::IMAGES)?.strip_prefix('/'))
    }

    /// Writes an image.
    ///
    /// # Errors
    /// It is not what was committed, or `to` does not take it.
    pub fn copy(&self, name: &str, to: &mut dyn Write) -> Result<u64, ReadError> {
        self.streams.copy(&format!("{}/{name}", layout::IMAGES), to)
    }

    /// Why what CRIU was given ended early, if it did.
    pub fn failure(&self) -> Option<Arc<VerifyError>> {
        locked(&self.failed).clone()
    }
}

impl PagesSource for StreamImages {
    fn has(&self, name: &str) -> bool {
        self.streams.size(&format!("{}/{name}", layout::IMAGES)).is_some()
    }

    fn give(&self, name: &str, to: &mut dyn Write) -> io::Result<()> {
        self.copy(name, to).map(drop).map_err(|error| {
            let told = io::Error::other(error.to_string());
            // Who does not take it has a reason of his own.
            if !error.is_of_the_taker() {
                locked(&self.failed).get_or_insert(Arc::new(error.into()));
            }
            told
        })
    }
}
