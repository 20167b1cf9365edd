//! Stores streams: any number at once, cut into chunks, of which what is there already or zero is not stored, and the rest in packs.
//!
//! ```text
//! streams (who writes them) ──> batches ──> workers: name, compress ──> writer: one pack after the other
//! ```
//!
//! A bounded number of batches waits in between, so that it takes little memory however large the streams are. After an error all of
//! them end, and each stream is told.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded};

use crate::base::headway::Headway;
use crate::base::limits::{BATCH_BYTES, BATCHES_WAITING};
use crate::base::panics::locked;
use crate::base::watchdog::Watchdog;
use crate::chunks::buffers::Pool;
use crate::chunks::choice::Choice;
use crate::chunks::codec::{Codec, Coder};
use crate::chunks::index::{CHUNK_MAX_BYTES, Index};
use crate::chunks::keep::Keeper;
use crate::chunks::name::NameKey;
use crate::chunks::pack::PackPlace;
use crate::chunks::pack_writer::Packs;
use crate::chunks::results::Results;
use crate::chunks::shared::{Seal, Shared, over};
use crate::chunks::stream::{Batch, StreamWriter};
use crate::chunks::sweep::Known;

/// What a checkpoint is stored with.
pub struct Storing {
    /// Where the packs go.
    pub place: Arc<dyn PackPlace>,
    /// What names the chunks.
    pub names: NameKey,
    /// What is there already.
    pub known: Known,
    /// What seals the chunks, if anything does.
    pub seal: Option<Seal>,
    /// How many bytes a second the volume takes, if that is known.
    pub volume: Option<f64>,
    /// Given up when nobody waits for it any more; told of each byte of the streams.
    pub headway: Arc<Headway>,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// What the streams consist of.
    pub index: Index,
    /// How many bytes were written for it.
    pub new_bytes: u64,
    /// By which codec most of these were made smaller at the end.
    pub codec: Codec,
}

/// Takes the streams of a checkpoint.
pub struct ChunkWriter {
    shared: Arc<Shared>,
    /// None once all is written.
    batches: Mutex<Option<Sender<Batch>>>,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl ChunkWriter {
    /// Begins with a checkpoint.
    ///
    /// # Errors
    /// There is no memory, or no thread can be made.
    pub fn begin(storing: Storing) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            names: storing.names,
            seal: storing.seal,
            results: Mutex::new(Some(Results::new(storing.known))),
            choice: Mutex::new(Choice::new(processors, storing.volume)),
            failed: Mutex::default(),
            new_bytes: Mutex::default(),
            headway: storing.headway,
            batches: Pool::new(BATCH_BYTES + CHUNK_MAX_BYTES),
            kept: Pool::new(0),
        });
        let (batches, to_do) = bounded(BATCHES_WAITING);
        let (done, to_write) = bounded(BATCHES_WAITING);
        let mut threads = Vec::new();
        for _ in 0..processors {
            let (shared, to_do, done) = (Arc::clone(&shared), to_do.clone(), done.clone());
            let coder = Coder::new()?;
            threads.push(spawn("crik-chunks", move || Keeper::new(&shared, coder).work(&to_do, &done))?);
        }
        let (other, place) = (Arc::clone(&shared), storing.place);
        threads.push(spawn("crik-packs", move || Packs::new(&other, &*place).write(&to_write))?);
        Ok(Self { shared, batches: Mutex::new(Some(batches)), threads: Mutex::new(threads) })
    }

    /// Begins a stream of this name. It must be ended by [`StreamWriter::finish`].
    ///
    /// # Errors
    /// All is written already.
    pub fn stream(&self, name: &str) -> io::Result<StreamWriter> {
        let batches = locked(&self.batches).clone().ok_or_else(over)?;
        let stream = self.shared.results(|results| results.begin(name))?;
        Ok(StreamWriter::new(Arc::clone(&self.shared), batches, stream))
    }

    /// Waits until all is durable. All streams must have ended. Blocks.
    ///
    /// # Errors
    /// It is not: the volume fails, a stream was cut off, or it was given up.
    pub fn finish(&self) -> io::Result<Stored> {
        self.shared.may_go_on()?;
        self.shared.results(|results| results.are_whole())??;
        drop(locked(&self.batches).take());
        let threads = mem::take(&mut *locked(&self.threads));
        let broken = threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count() > 0;
        self.shared.may_go_on()?;
        if broken {
            return Err(io::Error::other("a thread that stores chunks has panicked"));
        }
        let results = locked(&self.shared.results).take().ok_or_else(over)?;
        let codec = locked(&self.shared.choice).best();
        Ok(Stored { index: results.finish()?, new_bytes: *locked(&self.shared.new_bytes), codec })
    }
}

impl Drop for ChunkWriter {
    /// What was left before its end is written no further.
    fn drop(&mut self) {
        if locked(&self.batches).is_some() {
            self.shared.note(Err(io::Error::other("nobody wants it any more")));
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let watchdog = Watchdog::of_this_thread();
    thread::Builder::new().name(name.to_owned()).spawn(move || watchdog.watch(work))
}
