//! Keeps the chunks of batches: names them, and makes those smaller that are new.

use std::io;
use std::ops::Range;

use crossbeam_channel::{Receiver, Sender};

use crate::base::limits::CHUNKS_PER_TRIAL;
use crate::base::panics::locked;
use crate::base::processor_time::processor_time;
use crate::chunks::buffers::Lent;
use crate::chunks::codec::{Codec, Coder};
use crate::chunks::name::ChunkName;
use crate::chunks::shared::Shared;
use crate::chunks::stream::Batch;

/// Chunks as they are kept: the number of each, how it is kept, and where.
pub(super) struct Kept {
    pub bytes: Lent,
    pub chunks: Vec<(u32, Codec, Range<usize>)>,
}

/// A chunk that is to be kept.
struct New {
    number: u32,
    name: ChunkName,
    range: Range<usize>,
}

/// Does it on one processor.
pub(super) struct Keeper<'a> {
    shared: &'a Shared,
    coder: Coder,
    /// How many chunks were kept since all codecs were tried.
    untried: usize,
}

impl<'a> Keeper<'a> {
    pub fn new(shared: &'a Shared, coder: Coder) -> Self {
        Self { shared, coder, untried: CHUNKS_PER_TRIAL }
    }

    /// Takes one batch after the other, until there are none. After an error they are only taken, so that nobody waits.
    pub fn work(&mut self, to_do: &Receiver<Batch>, done: &Sender<Kept>) {
        for batch in to_do {
            if self.shared.may_go_on().is_ok() {
                let kept = self.keep(batch);
                let sent = kept.and_then(|kept| kept.map_or(Ok(()), |kept| self.shared.send(done, kept)));
                self.shared.note(sent);
            }
        }
    }

    /// Names the chunks of a batch, and makes those smaller that are new. None if none is.
    fn keep(&mut self, batch: Batch) -> io::Result<Option<Kept>> {
        let new = self.new_of(&batch)?;
        let Some(first) = new.first() else { return Ok(None) };
        self.untried += new.len();
        if self.untried >= CHUNKS_PER_TRIAL {
            self.untried = 0;
            self.try_all(&batch.bytes[first.range.clone()]);
        }
        let codec = locked(&self.shared.choice).best();
        if codec == Codec::Plain && self.shared.seal.is_none() {
            let as_it_is = |new: New| (new.number, codec, new.range);
            return Ok(Some(Kept { bytes: batch.bytes, chunks: new.into_iter().map(as_it_is).collect() }));
        }
        let mut kept = Kept { bytes: self.shared.kept.lend(), chunks: Vec::with_capacity(new.len()) };
        kept.bytes.clear();
        new.iter().for_each(|new| self.keep_one((codec, &batch.bytes), new, &mut kept));
        Ok(Some(kept))
    }

    /// The chunks of a batch that are kept nowhere yet.
    fn new_of(&self, batch: &Batch) -> io::Result<Vec<New>> {
        let named =
            |range: &Range<usize>| (self.shared.names.name(&batch.bytes[range.clone()]), range.len() as u32);
        let names: Vec<_> = batch.chunks.iter().map(named).collect();
        let numbers = self.shared.results(|results| {
            let numbers = results.numbers(&names);
            results.fill(&batch.place, numbers.iter().map(|(number, _)| *number));
            numbers
        })?;
        let all = numbers.into_iter().zip(names).zip(&batch.chunks);
        let new = all.filter(|(((_, is_new), _), _)| *is_new);
        Ok(new.map(|(((number, _), (name, _)), range)| New { number, name, range: range.clone() }).collect())
    }

    fn keep_one(&mut self, (codec, batch): (Codec, &[u8]), new: &New, kept: &mut Kept) {
        let (codec, bytes) = self.coder.encode(codec, &batch[new.range.clone()]);
        let before = kept.bytes.len();
        match &self.shared.seal {
            None => kept.bytes.extend_from_slice(bytes),
            Some(seal) => seal.cipher.seal(new.name.as_bytes(), bytes, &mut kept.bytes),
        }
        kept.chunks.push((new.number, codec, before..kept.bytes.len()));
    }

    /// Learns what each codec would do. One that had to wait for a processor is not slow, and only one chunk in many is tried.
    fn try_all(&mut self, chunk: &[u8]) {
        for codec in [Codec::Lz4, Codec::Zstd] {
            let before = processor_time();
            let kept = self.coder.encode(codec, chunk).1.len();
            locked(&self.shared.choice).encoded(codec, chunk.len(), kept, processor_time() - before);
        }
    }
}
