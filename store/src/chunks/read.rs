//! Gives the streams of a checkpoint as they were. Each chunk is compared with its name when it is used, and not before: what was
//! verified is what is used.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, scope};

use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::limits::{GROUPS_OF_HELPERS, QUEUE_POLL, READ_AHEAD_GROUPS, READ_GROUP_BYTES, READERS_MAX};
use crate::base::panics::locked;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::side_by_side::in_threads;
use crate::chunks::codec::Coder;
use crate::chunks::index::{Chunk, Index, Piece, SecretId};
use crate::chunks::name::NameKey;
use crate::chunks::pack::{PackPlace, PackSource};
use crate::encryption::cipher::ChunkCipher;

/// Why a stream is not what it was.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The checkpoint has none of this name.
    #[error("it has no {0}")]
    Absent(String),
    /// A pack cannot be read.
    #[error("its {stream} cannot be read: pack {pack}: {source}")]
    Pack {
        /// The stream.
        stream: String,
        /// The pack.
        pack: String,
        /// Why not.
        source: io::Error,
    },
    /// A chunk is another one.
    #[error("its {stream} was altered after the commit (a chunk of pack {pack} is not what it is called)")]
    Altered {
        /// The stream.
        stream: String,
        /// The pack.
        pack: String,
    },
    /// It is sealed with something that there is nothing of.
    #[error("its {stream} is sealed with a secret that its manifest does not tell")]
    NoSecret {
        /// The stream.
        stream: String,
    },
    /// Who was to get it does not take it.
    #[error("its {stream} cannot be handed on: {source}")]
    Taker {
        /// The stream.
        stream: String,
        /// Why not.
        source: io::Error,
    },
}

impl ReadError {
    /// As an error of a file would be classified.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Pack { source, .. } | Self::Taker { source, .. } => source.kind(),
            Self::Absent(_) => io::ErrorKind::NotFound,
            Self::Altered { .. } | Self::NoSecret { .. } => io::ErrorKind::InvalidData,
        }
    }

    /// Whether it is only that nobody takes it.
    pub fn is_of_the_taker(&self) -> bool {
        matches!(self, Self::Taker { .. })
    }
}

impl HasOutlook for ReadError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Pack { source, .. } => source.outlook(),
            _ => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Pack { source, .. } if source.is_of_the_volume())
    }
}

/// What opens chunks, by what they were sealed with.
pub type Ciphers = HashMap<SecretId, ChunkCipher>;

/// Reads a checkpoint.
pub struct ChunkReader {
    index: Index,
    place: Arc<dyn PackPlace>,
    names: NameKey,
    ciphers: Ciphers,
    headway: Arc<Headway>,
    packs: Vec<OnceLock<Box<dyn PackSource>>>,
    streams: HashMap<String, usize>,
    helpers_left: AtomicUsize,
}

/// Pieces that are read at once, and where they are in their stream.
type Group<'a> = &'a [Piece];

impl ChunkReader {
    /// Of what this index tells, with what its chunks were named and sealed.
    pub fn new(
        index: Index,
        place: Arc<dyn PackPlace>,
        (names, ciphers): (NameKey, Ciphers),
        headway: Arc<Headway>,
    ) -> Self {
        let packs = index.packs.iter().map(|_| OnceLock::new()).collect();
        let named = index.streams.iter().enumerate().map(|(number, stream)| (stream.name.clone(), number));
        let streams = named.collect();
        let helpers_left = AtomicUsize::new(READERS_MAX);
        Self { index, place, names, ciphers, headway, packs, streams, helpers_left }
    }

    /// What it consists of.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How many bytes the stream of this name has; none if there is no such stream.
    pub fn size(&self, stream: &str) -> Option<u64> {
        self.index.size(&self.index.streams[self.number(stream)?])
    }

    /// The number of the stream of this name.
    pub(super) fn number(&self, stream: &str) -> Option<usize> {
        self.streams.get(stream).copied()
    }

    /// The chunk that is a piece of a stream; nothing if that is zeros.
    pub(super) fn piece(&self, stream: usize, piece: usize) -> Result<Vec<u8>, ReadError> {
        let stream = &self.index.streams[stream];
        self.read(&stream.name, &stream.pieces[piece..=piece], &mut None)
    }

    /// Writes a stream to `to`, and says how many bytes it has. Other processors read ahead. Blocks.
    ///
    /// # Errors
    /// It is not what it was, or nobody takes it, or it was given up.
    pub fn copy(&self, stream: &str, to: &mut dyn Write) -> Result<u64, ReadError> {
        let number = *self.streams.get(stream).ok_or_else(|| ReadError::Absent(stream.to_owned()))?;
        let groups = self.groups(&self.index.streams[number].pieces);
        let helpers = self.helpers_for(groups.len());
        let ahead = ReadAhead::default();
        let mut copied = 0;
        scope(|threads| {
            if helpers > 0 {
                in_threads(threads, ("crik-read", helpers), || self.read_ahead(stream, &groups, &ahead));
            }
            let outcome = groups.iter().enumerate().try_for_each(|(number, group)| {
                let bytes = if helpers > 0 {
                    ahead.take(number, &self.headway)
                } else {
                    self.read(stream, group, &mut None)
                };
                copied += self.hand_on(stream, group, &bytes?, to)?;
                Ok(())
            });
            ahead.stop();
            outcome
        })?;
        Ok(copied)
    }

    /// How many threads read ahead for a stream of so many groups. Each takes a process id, and the tree that is restored needs its own.
    fn helpers_for(&self, groups: usize) -> usize {
        if groups < GROUPS_OF_HELPERS {
            return 0;
        }
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let take = |left: usize| left.checked_sub(processors);
        let taken = self.helpers_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_or(0, |_| processors)
    }

    /// Pieces of about so many bytes that are read.
    fn groups<'a>(&self, pieces: &'a [Piece]) -> Vec<Group<'a>> {
        let (mut groups, mut first, mut bytes) = (Vec::new(), 0, 0);
        for (number, piece) in pieces.iter().enumerate() {
            bytes += self.chunk(*piece).map_or(0, |chunk| chunk.size as usize);
            if bytes >= READ_GROUP_BYTES {
                groups.push(&pieces[first..=number]);
                (first, bytes) = (number + 1, 0);
            }
        }
        groups.extend((first < pieces.len()).then(|| &pieces[first..]));
        groups
    }

    fn chunk(&self, piece: Piece) -> Option<&Chunk> {
        match piece {
            Piece::Zeros(_) => None,
            Piece::Chunk(number) => self.index.chunks.get(number as usize),
        }
    }

    fn read_ahead(&self, stream: &str, groups: &[Group<'_>], ahead: &ReadAhead) {
        let mut coder = None;
        while let Some(number) = ahead.next(groups.len()) {
            ahead.put(number, self.read(stream, groups[number], &mut coder));
        }
    }

    /// All chunks of a group, one after the other.
    fn read(&self, stream: &str, group: Group<'_>, coder: &mut Option<Coder>) -> Result<Vec<u8>, ReadError> {
        let chunks = || group.iter().filter_map(|piece| self.chunk(*piece));
        let mut bytes = vec![0; chunks().map(|chunk| chunk.size as usize).sum()];
        let (mut rest, mut kept) = (&mut bytes[..], Vec::new());
        for chunk in chunks() {
            let (own, others) = rest.split_at_mut(chunk.size as usize);
            self.read_chunk(stream, chunk, (own, &mut kept), coder)?;
            rest = others;
        }
        Ok(bytes)
    }

    fn read_chunk(
        &self,
        stream: &str,
        chunk: &Chunk,
        (bytes, kept): (&mut [u8], &mut Vec<u8>),
        coder: &mut Option<Coder>,
    ) -> Result<(), ReadError> {
        let pack = || self.index.packs[chunk.pack as usize].name;
        let failed = |source| ReadError::Pack { stream: stream.to_owned(), pack: pack().to_string(), source };
        let altered = || ReadError::Altered { stream: stream.to_owned(), pack: pack().to_string() };
        kept.resize(chunk.kept as usize, 0);
        self.source(chunk).and_then(|source| source.read_exact_at(kept, chunk.offset)).map_err(failed)?;
        if coder.is_none() {
            *coder = Some(Coder::new().map_err(failed)?);
        }
        let opened = self.open(stream, chunk, kept)?.ok_or_else(altered)?;
        let decoded = coder.as_mut().map(|coder| coder.decode(chunk.codec, &opened, bytes));
        match decoded {
            Some(Ok(())) if self.names.name(bytes) == chunk.name => Ok(()),
            _ => Err(altered()),
        }
    }

    /// What was sealed; none if it is not that.
    fn open<'a>(
        &self,
        stream: &str,
        chunk: &Chunk,
        kept: &'a [u8],
    ) -> Result<Option<Cow<'a, [u8]>>, ReadError> {
        let Some(secret) = self.index.packs[chunk.pack as usize].secret else {
            return Ok(Some(Cow::Borrowed(kept)));
        };
        let cipher =
            self.ciphers.get(&secret).ok_or_else(|| ReadError::NoSecret { stream: stream.to_owned() })?;
        let mut opened = Vec::with_capacity(kept.len());
        Ok(cipher.open(chunk.name.as_bytes(), kept, &mut opened).ok().map(|()| Cow::Owned(opened)))
    }

    fn source(&self, chunk: &Chunk) -> io::Result<&dyn PackSource> {
        let place = &self.packs[chunk.pack as usize];
        if let Some(source) = place.get() {
            return Ok(&**source);
        }
        let opened = self.place.open(self.index.packs[chunk.pack as usize].name)?;
        Ok(&**place.get_or_init(|| opened))
    }

    /// Writes the pieces of a group, whose chunks are `bytes`.
    fn hand_on(
        &self,
        stream: &str,
        group: Group<'_>,
        mut bytes: &[u8],
        to: &mut dyn Write,
    ) -> Result<u64, ReadError> {
        let taker = |source| ReadError::Taker { stream: stream.to_owned(), source };
        let mut written = 0;
        let mut own = 0;
        for piece in group {
            match piece {
                Piece::Chunk(_) => own += self.chunk(*piece).map_or(0, |chunk| chunk.size as usize),
                Piece::Zeros(count) => {
                    let (before, rest) = bytes.split_at(own);
                    to.write_all(before).and_then(|()| write_zeros(to, *count)).map_err(taker)?;
                    (bytes, own) = (rest, 0);
                    written += before.len() as u64 + count;
                }
            }
        }
        to.write_all(bytes).map_err(taker)?;
        written += bytes.len() as u64;
        self.headway.go_on(written).map_err(taker)?;
        Ok(written)
    }
}

fn write_zeros(to: &mut dyn Write, count: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = count;
    while left > 0 {
        let part = left.min(ZEROS.len() as u64);
        to.write_all(&ZEROS[..part as usize])?;
        left -= part;
    }
    Ok(())
}

/// What was read and not handed on yet.
#[derive(Default)]
struct ReadAhead {
    next: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    read: HashMap<usize, Result<Vec<u8>, ReadError>>,
    /// How many groups were handed on.
    taken: usize,
    stopped: bool,
}

impl ReadAhead {
    /// The number of the group that is to be read next, once there is room for it.
    fn next(&self, groups: usize) -> Option<usize> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = locked(&self.state);
        while !state.stopped && number >= state.taken + READ_AHEAD_GROUPS {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.stopped && number < groups).then_some(number)
    }

    fn put(&self, number: usize, bytes: Result<Vec<u8>, ReadError>) {
        locked(&self.state).read.insert(number, bytes);
        self.changed.notify_all();
    }

    /// Waits for the group of this number. A volume that hangs is given up by who looks at the headway.
    fn take(&self, number: usize, headway: &Headway) -> Result<Vec<u8>, ReadError> {
        let mut state = locked(&self.state);
        loop {
            if let Some(bytes) = state.read.remove(&number) {
                state.taken = number + 1;
                self.changed.notify_all();
                return bytes;
            }
            if headway.is_given_up() {
                let source = io::Error::other("it was given up");
                return Err(ReadError::Taker { stream: String::new(), source });
            }
            state = self
                .changed
                .wait_timeout(state, QUEUE_POLL)
                .map_or_else(|broken| broken.into_inner().0, |(state, _)| state);
        }
    }

    fn stop(&self) {
        locked(&self.state).stopped = true;
        self.changed.notify_all();
    }
}
