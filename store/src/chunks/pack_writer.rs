//! Writes what is kept into one pack after the other.

use std::io;
use std::ops::Range;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::backend::large::Sink;
use crate::base::limits::PACK_BYTES;
use crate::base::panics::locked;
use crate::chunks::codec::Codec;
use crate::chunks::index::Pack;
use crate::chunks::keep::Kept;
use crate::chunks::pack::{PackName, PackPlace};
use crate::chunks::shared::Shared;

/// The pack that is being written.
pub(super) struct Packs<'a> {
    shared: &'a Shared,
    place: &'a dyn PackPlace,
    open: Option<(PackName, Box<dyn Sink>, u64)>,
}

impl<'a> Packs<'a> {
    pub fn new(shared: &'a Shared, place: &'a dyn PackPlace) -> Self {
        Self { shared, place, open: None }
    }

    /// Until there is nothing more. After an error all is only taken, so that nobody waits.
    pub fn write(mut self, to_write: &Receiver<Kept>) {
        for kept in to_write {
            if self.shared.may_go_on().is_ok() {
                let appended = self.append(&kept);
                self.shared.note(appended);
            }
        }
        if self.shared.may_go_on().is_ok() {
            let closed = self.close();
            self.shared.note(closed);
        }
    }

    fn append(&mut self, kept: &Kept) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(_, _, bytes)| *bytes >= PACK_BYTES) {
            self.close()?;
        }
        if self.open.is_none() {
            let name = PackName::random()?;
            self.open = Some((name, self.place.create(name)?, 0));
        }
        let Some((name, sink, bytes)) = &mut self.open else { return Ok(()) };
        let (clock, begin) = (Instant::now(), *bytes);
        for run in runs(&kept.chunks) {
            sink.write(&kept.bytes[run.clone()])?;
            *bytes += run.len() as u64;
        }
        let written = *bytes - begin;
        locked(&self.shared.choice).written(written as usize, clock.elapsed());
        let pack = Pack { name: *name, bytes: 0, secret: self.shared.seal.as_ref().map(|seal| seal.secret) };
        self.shared.results(|results| {
            let mut at = begin;
            for (number, codec, range) in &kept.chunks {
                results.placed(*number, pack, at, (*codec, range.len() as u32));
                at += range.len() as u64;
            }
        })?;
        *locked(&self.shared.new_bytes) += written;
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |(_, sink, _)| sink.finish())
    }
}

/// What of the bytes is written at once: chunks that lie one behind the other.
fn runs(chunks: &[(u32, Codec, Range<usize>)]) -> impl Iterator<Item = Range<usize>> {
    let adjoin =
        |one: &(u32, Codec, Range<usize>), next: &(u32, Codec, Range<usize>)| one.2.end == next.2.start;
    chunks.chunk_by(adjoin).map(|run| run[0].2.start..run[run.len() - 1].2.end)
}
