//! Reads chunks that are asked for together: what lies together in a pack at once. Each is made what it was where it is wanted, and compared
//! with its name there.

use std::io;
use std::ops::Range;

use crate::chunks::codec::{Codec, Coder};
use crate::chunks::index::Chunk;
use crate::chunks::kept_chunks::KeptChunks;
use crate::chunks::read_error::ReadError;

/// Does it for one thread, with memory that is used again.
pub(super) struct GroupReader<'a> {
    chunks: &'a KeptChunks,
    stream: &'a str,
    coder: Option<Coder>,
    kept: Vec<u8>,
    opened: Vec<u8>,
}

impl<'a> GroupReader<'a> {
    /// For a stream of this name.
    pub fn new(chunks: &'a KeptChunks, stream: &'a str) -> Self {
        Self { chunks, stream, coder: None, kept: Vec::new(), opened: Vec::new() }
    }

    /// Fills the beginning of `bytes` with chunks, one after the other.
    pub fn read(&mut self, group: &[&Chunk], mut bytes: &mut [u8]) -> Result<(), ReadError> {
        for run in group.chunk_by(|one, next| adjoin(one, next)) {
            let (own, rest) = bytes.split_at_mut(run.iter().map(|chunk| chunk.size as usize).sum());
            if run.iter().all(|chunk| self.is_as_it_was(chunk)) {
                self.fetch(run[0], own)?;
                self.compare(run, own)?;
            } else {
                self.read_run(run, own)?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Whether nothing was done to it when it was kept.
    fn is_as_it_was(&self, chunk: &Chunk) -> bool {
        let is_sealed = self.chunks.index.packs[chunk.pack as usize].secret.is_some();
        chunk.codec == Codec::Plain && chunk.kept == chunk.size && !is_sealed
    }

    fn read_run(&mut self, run: &[&Chunk], bytes: &mut [u8]) -> Result<(), ReadError> {
        let mut kept = std::mem::take(&mut self.kept);
        let needed: usize = run.iter().map(|chunk| chunk.kept as usize).sum();
        if kept.len() < needed {
            kept.resize(needed, 0);
        }
        self.fetch(run[0], &mut kept[..needed])?;
        for (chunk, at, own) in places(run) {
            self.make(chunk, &kept[at], &mut bytes[own])?;
        }
        self.kept = kept;
        self.compare(run, bytes)
    }

    /// Reads from where a chunk begins in its pack.
    fn fetch(&self, first: &Chunk, kept: &mut [u8]) -> Result<(), ReadError> {
        let source = self.chunks.source(first);
        source
            .and_then(|source| source.read_exact_at(kept, first.offset))
            .map_err(|source| self.failed(first, source))
    }

    /// Makes of what was kept what it was.
    fn make(&mut self, chunk: &Chunk, kept: &[u8], bytes: &mut [u8]) -> Result<(), ReadError> {
        if self.coder.is_none() {
            self.coder = Some(Coder::new().map_err(|source| self.failed(chunk, source))?);
        }
        let opened = if self.open(chunk, kept)? { &self.opened } else { kept };
        let made = self.coder.as_mut().map(|coder| coder.decode(chunk.codec, opened, bytes));
        if matches!(made, Some(Ok(()))) { Ok(()) } else { Err(self.altered(chunk)) }
    }

    /// Opens what was sealed. False if it was not.
    fn open(&mut self, chunk: &Chunk, kept: &[u8]) -> Result<bool, ReadError> {
        let Some(secret) = self.chunks.index.packs[chunk.pack as usize].secret else { return Ok(false) };
        let cipher = self.chunks.ciphers.get(&secret);
        let cipher = cipher.ok_or_else(|| ReadError::NoSecret { stream: self.stream.to_owned() })?;
        self.opened.clear();
        let opened = cipher.open(chunk.name.as_bytes(), kept, &mut self.opened);
        opened.map(|()| true).map_err(|_| self.altered(chunk))
    }

    fn compare(&self, run: &[&Chunk], bytes: &[u8]) -> Result<(), ReadError> {
        let is_another = |(chunk, _, own): &(&Chunk, _, Range<usize>)| {
            self.chunks.names.name(&bytes[own.clone()]) != chunk.name
        };
        places(run).find(is_another).map_or(Ok(()), |(chunk, ..)| Err(self.altered(chunk)))
    }

    fn failed(&self, chunk: &Chunk, source: io::Error) -> ReadError {
        ReadError::Pack { stream: self.stream.to_owned(), pack: self.pack(chunk), source }
    }

    fn altered(&self, chunk: &Chunk) -> ReadError {
        ReadError::Altered { stream: self.stream.to_owned(), pack: self.pack(chunk) }
    }

    fn pack(&self, chunk: &Chunk) -> String {
        self.chunks.index.packs[chunk.pack as usize].name.to_string()
    }
}

/// Whether two lie one behind the other in a pack.
fn adjoin(one: &Chunk, next: &Chunk) -> bool {
    one.pack == next.pack && one.offset + u64::from(one.kept) == next.offset
}

/// The chunks of a run: where each is in what is kept, and in what it is made.
fn places<'a>(run: &'a [&'a Chunk]) -> impl Iterator<Item = (&'a Chunk, Range<usize>, Range<usize>)> {
    run.iter().scan((0, 0), |(kept, made), chunk| {
        let begins = (*kept, *made);
        (*kept, *made) = (*kept + chunk.kept as usize, *made + chunk.size as usize);
        Some((*chunk, begins.0..*kept, begins.1..*made))
    })
}
