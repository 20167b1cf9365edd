//! Stores streams: any number at once, cut into chunks, of which what is there already or zero is not stored, and the rest in packs.
//!
//! ```text
//! streams (who writes them) ──> batches ──> workers: name, compress ──> writer: one pack after the other
//! ```
//!
//! A bounded number of batches waits in between, so that it takes little memory however large the streams are. After an error all of
//! them end, and each stream is told.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use crate::base::headway::Headway;
use crate::base::limits::{BATCH_BYTES, BATCHES_WAITING, CHUNKS_PER_TRIAL, PACK_BYTES, QUEUE_POLL};
use crate::base::panics::locked;
use crate::base::watchdog::Watchdog;
use crate::chunks::choice::Choice;
use crate::chunks::codec::{Codec, Coder};
use crate::chunks::cut::{Cutter, Piece};
use crate::chunks::index::{CHUNK_MAX_BYTES, Index, Pack, SecretId};
use crate::chunks::name::{ChunkName, NameKey};
use crate::chunks::pack::{PackName, PackPlace, PackSink};
use crate::chunks::results::{Place, Results};
use crate::chunks::sweep::Known;
use crate::encryption::cipher::ChunkCipher;

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

/// What seals the chunks of a checkpoint.
pub struct Seal {
    /// What does it.
    pub cipher: ChunkCipher,
    /// With what.
    pub secret: SecretId,
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

struct Shared {
    names: NameKey,
    seal: Option<Seal>,
    results: Mutex<Option<Results>>,
    choice: Mutex<Choice>,
    failed: Mutex<Option<io::Error>>,
    new_bytes: Mutex<u64>,
    headway: Arc<Headway>,
}

/// Some chunks of a stream.
struct Batch {
    place: Place,
    bytes: Vec<u8>,
    /// Where each chunk ends.
    ends: Vec<usize>,
}

/// Chunks as they are kept, one after the other: the number of each, how it is kept, and in how many bytes.
struct Kept {
    bytes: Vec<u8>,
    chunks: Vec<(u32, Codec, u32)>,
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
        });
        let (batches, to_do) = bounded(BATCHES_WAITING);
        let (done, to_write) = bounded(BATCHES_WAITING);
        let mut threads = Vec::new();
        for _ in 0..processors {
            let (shared, to_do, done) = (Arc::clone(&shared), to_do.clone(), done.clone());
            let mut coder = Coder::new()?;
            threads.push(spawn("crik-chunks", move || shared.work(&mut coder, &to_do, &done))?);
        }
        let (other, place) = (Arc::clone(&shared), storing.place);
        threads.push(spawn("crik-packs", move || other.write(&*place, &to_write))?);
        Ok(Self { shared, batches: Mutex::new(Some(batches)), threads: Mutex::new(threads) })
    }

    /// Begins a stream of this name. It must be ended by [`StreamWriter::finish`].
    ///
    /// # Errors
    /// All is written already.
    pub fn stream(&self, name: &str) -> io::Result<StreamWriter> {
        let batches = locked(&self.batches).clone().ok_or_else(over)?;
        let stream = self.shared.results(|results| results.begin(name))?;
        let (shared, cutter, waiting) = (Arc::clone(&self.shared), Cutter::default(), Waiting::new());
        Ok(StreamWriter { shared, batches, stream, cutter, waiting })
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

fn over() -> io::Error {
    io::Error::other("all is written already")
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let watchdog = Watchdog::of_this_thread();
    thread::Builder::new().name(name.to_owned()).spawn(move || watchdog.watch(work))
}

impl Shared {
    /// Says whether there is still something to do for anybody.
    fn may_go_on(&self) -> io::Result<()> {
        if let Some(error) = &*locked(&self.failed) {
            return Err(again(error));
        }
        self.headway.go_on(0)
    }

    fn results<T>(&self, what: impl FnOnce(&mut Results) -> T) -> io::Result<T> {
        locked(&self.results).as_mut().map(what).ok_or_else(over)
    }

    fn note(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            locked(&self.failed).get_or_insert(error);
        }
    }

    /// Hands something on, as soon as there is room for it.
    fn send<T>(&self, to: &Sender<T>, mut what: T) -> io::Result<()> {
        loop {
            self.may_go_on()?;
            match to.send_timeout(what, QUEUE_POLL) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => what = back,
                Err(SendTimeoutError::Disconnected(_)) => {
                    return Err(io::Error::other("nobody stores it any more"));
                }
            }
        }
    }

    /// Takes one batch after the other, until there are none. After an error they are only taken, so that nobody waits.
    fn work(&self, coder: &mut Coder, to_do: &Receiver<Batch>, done: &Sender<Kept>) {
        let mut trial = 0;
        for batch in to_do {
            if self.may_go_on().is_ok() {
                let kept = self.keep(coder, &batch, &mut trial);
                self.note(
                    kept.and_then(|kept| if kept.chunks.is_empty() { Ok(()) } else { self.send(done, kept) }),
                );
            }
        }
    }

    /// Names the chunks of a batch, and makes those smaller that are new.
    fn keep(&self, coder: &mut Coder, batch: &Batch, trial: &mut usize) -> io::Result<Kept> {
        let chunks: Vec<&[u8]> = batch.chunks().collect();
        let names: Vec<_> = chunks.iter().map(|chunk| (self.names.name(chunk), chunk.len() as u32)).collect();
        let numbers = self.results(|results| {
            let numbers = results.numbers(&names);
            results.fill(&batch.place, numbers.iter().map(|(number, _)| *number));
            numbers
        })?;
        let mut kept = Kept { bytes: Vec::with_capacity(batch.bytes.len()), chunks: Vec::new() };
        for ((chunk, (name, _)), (number, is_new)) in chunks.iter().zip(&names).zip(numbers) {
            if is_new {
                self.keep_one(coder, (chunk, name, number), trial, &mut kept);
            }
        }
        Ok(kept)
    }

    fn keep_one(
        &self,
        coder: &mut Coder,
        (chunk, name, number): (&[u8], &ChunkName, u32),
        trial: &mut usize,
        kept: &mut Kept,
    ) {
        if trial.is_multiple_of(CHUNKS_PER_TRIAL) {
            self.try_all(coder, chunk);
        }
        *trial += 1;
        let codec = locked(&self.choice).best();
        let (codec, bytes) = coder.encode(codec, chunk);
        let before = kept.bytes.len();
        match &self.seal {
            None => kept.bytes.extend_from_slice(bytes),
            Some(seal) => seal.cipher.seal(name.as_bytes(), bytes, &mut kept.bytes),
        }
        kept.chunks.push((number, codec, (kept.bytes.len() - before) as u32));
    }

    /// Learns what each codec would do.
    fn try_all(&self, coder: &mut Coder, chunk: &[u8]) {
        for codec in [Codec::Lz4, Codec::Zstd] {
            let clock = Instant::now();
            let kept = coder.encode(codec, chunk).1.len();
            locked(&self.choice).encoded(codec, chunk.len(), kept, clock.elapsed());
        }
    }

    /// Writes one pack after the other.
    fn write(&self, place: &dyn PackPlace, to_write: &Receiver<Kept>) {
        let mut packs = Packs { shared: self, place, open: None };
        for kept in to_write {
            if self.may_go_on().is_ok() {
                self.note(packs.append(&kept));
            }
        }
        if self.may_go_on().is_ok() {
            self.note(packs.close());
        }
    }
}

/// An error to be told more than once.
fn again(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

/// The pack that is being written.
struct Packs<'a> {
    shared: &'a Shared,
    place: &'a dyn PackPlace,
    open: Option<(PackName, Box<dyn PackSink>, u64)>,
}

impl Packs<'_> {
    fn append(&mut self, kept: &Kept) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(_, _, bytes)| *bytes >= PACK_BYTES) {
            self.close()?;
        }
        if self.open.is_none() {
            let name = PackName::random()?;
            self.open = Some((name, self.place.create(name)?, 0));
        }
        let Some((name, sink, bytes)) = &mut self.open else { return Ok(()) };
        let clock = Instant::now();
        sink.write(&kept.bytes)?;
        locked(&self.shared.choice).written(kept.bytes.len(), clock.elapsed());
        let pack = Pack { name: *name, bytes: 0, secret: self.shared.seal.as_ref().map(|seal| seal.secret) };
        self.shared.results(|results| {
            for (number, codec, size) in &kept.chunks {
                results.placed(*number, pack, *bytes, (*codec, *size));
                *bytes += u64::from(*size);
            }
        })?;
        *locked(&self.shared.new_bytes) += kept.bytes.len() as u64;
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |(_, sink, _)| sink.finish())
    }
}

impl Batch {
    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[*start..*end])
    }
}

/// Pieces that are no batch yet.
struct Waiting {
    /// Of a run of zeros how many bytes it has.
    pieces: Vec<Option<u64>>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Waiting {
    /// Nothing, with room for a batch.
    fn new() -> Self {
        let bytes = Vec::with_capacity(BATCH_BYTES + CHUNK_MAX_BYTES);
        Self { pieces: Vec::new(), bytes, ends: Vec::new() }
    }

    fn take_in(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Zeros(count) => self.pieces.push(Some(count)),
            Piece::Chunk(bytes) => {
                self.pieces.push(None);
                self.bytes.extend_from_slice(bytes);
                self.ends.push(self.bytes.len());
            }
        }
    }
}

/// A stream that is stored.
pub struct StreamWriter {
    shared: Arc<Shared>,
    batches: Sender<Batch>,
    stream: usize,
    cutter: Cutter,
    waiting: Waiting,
}

impl StreamWriter {
    /// The stream is whole.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn finish(mut self) -> io::Result<()> {
        mem::take(&mut self.cutter).end(&mut |piece| self.waiting.take_in(piece));
        self.hand_on()?;
        self.shared.results(|results| results.end(self.stream))
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let waiting = mem::replace(&mut self.waiting, Waiting::new());
        let place =
            self.shared.results(|results| results.reserve(self.stream, waiting.pieces.into_iter()))?;
        if waiting.ends.is_empty() {
            return Ok(());
        }
        let batch = Batch { place, bytes: waiting.bytes, ends: waiting.ends };
        self.shared.send(&self.batches, batch)
    }
}

impl Write for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.may_go_on()?;
        let waiting = &mut self.waiting;
        self.cutter.feed(bytes, &mut |piece| waiting.take_in(piece));
        self.shared.headway.go_on(bytes.len() as u64)?;
        if self.waiting.bytes.len() >= BATCH_BYTES || self.waiting.pieces.len() >= BATCH_BYTES / 64 {
            self.hand_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
