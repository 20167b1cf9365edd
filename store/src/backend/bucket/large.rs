//! Large files in a bucket: parts that are objects of their own, several of which are on their way at once.
//!
//! The parts are no «multipart upload», which would be there, unseen and paid for, until somebody completes or aborts it: each is an
//! object from the start, and one that no name refers to is swept like any other.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;

use object_store::PutResult;

use crate::backend::bucket::blobs::{Awaited, Blobs};
use crate::backend::bucket::blocks::{Block, Blocks};
use crate::backend::bucket::names::Blob;
use crate::backend::bucket::requests::{Pending, Requests};
use crate::backend::large::{Sink, Source};
use crate::base::limits::{BLOCK_BYTES, PART_BYTES, PARTS_UNDER_WAY};
use crate::base::nonce::nonce;

/// Gives a file that consists of these objects its name.
pub type Naming = Box<dyn FnOnce(Vec<Blob>) -> io::Result<()> + Send>;

/// One that is written.
pub struct Written {
    requests: Arc<Requests>,
    blobs: Arc<Blobs>,
    name: Naming,
    part: Vec<u8>,
    under_way: VecDeque<(Awaited, Pending<PutResult>)>,
    there: Vec<Awaited>,
}

impl Written {
    /// One that gets its name once it is whole.
    pub fn begin(requests: &Arc<Requests>, blobs: &Arc<Blobs>, name: Naming) -> Self {
        let (requests, blobs) = (Arc::clone(requests), Arc::clone(blobs));
        Self { requests, blobs, name, part: Vec::new(), under_way: VecDeque::new(), there: Vec::new() }
    }

    /// Sends a part, as soon as few enough are on their way: they are held in memory.
    fn send(&mut self) -> io::Result<()> {
        while self.under_way.len() >= PARTS_UNDER_WAY {
            self.wait()?;
        }
        let part = mem::take(&mut self.part);
        self.under_way.push_back(self.blobs.start(&self.requests, nonce()?, part));
        Ok(())
    }

    /// Waits for the first of those that are on their way.
    fn wait(&mut self) -> io::Result<()> {
        if let Some((awaited, put)) = self.under_way.pop_front() {
            put.wait()?;
            self.there.push(awaited);
        }
        Ok(())
    }
}

impl Sink for Written {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.part.capacity() == 0 {
                self.part.reserve_exact(PART_BYTES);
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.part.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if !self.part.is_empty() {
            self.send()?;
        }
        while !self.under_way.is_empty() {
            self.wait()?;
        }
        let blobs = self.there.iter().map(|awaited| awaited.blob.clone()).collect();
        (self.name)(blobs)
    }
}

/// One that is read.
pub struct Opened {
    requests: Arc<Requests>,
    blocks: Arc<Blocks>,
    /// What it consists of, and where each begins.
    parts: Vec<(u64, Block)>,
    bytes: u64,
}

impl Opened {
    /// One that has its contents in these objects.
    pub fn new(requests: &Arc<Requests>, blocks: Arc<Blocks>, blobs: &[Blob]) -> Self {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for blob in blobs {
            let starts = (0..blob.size).step_by(BLOCK_BYTES);
            parts.extend(starts.map(|start| (bytes + start, Block::new(blob.clone(), start))));
            bytes += blob.size;
        }
        Self { requests: Arc::clone(requests), blocks, parts, bytes }
    }
}

impl Source for Opened {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let number = self.parts.partition_point(|(start, _)| *start <= offset).checked_sub(1);
            let number = number.filter(|_| offset < self.bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
            let following = self.parts[number + 1..].iter().map(|(_, block)| block);
            let found = self.blocks.get(&self.requests, &self.parts[number].1, following)?;
            let from = usize::try_from(offset - self.parts[number].0).unwrap_or(usize::MAX);
            let found = found.get(from..).filter(|found| !found.is_empty());
            let found = found.ok_or(io::ErrorKind::UnexpectedEof)?;
            let (now, later) = bytes.split_at_mut(found.len().min(bytes.len()));
            now.copy_from_slice(&found[..now.len()]);
            offset += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }
}
