//! Blocks of objects that are read: what is read now, and what is asked for since it will be read next. All files share them, so that
//! they take little memory however many are open.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::backend::bucket::blobs::Blobs;
use crate::backend::bucket::failure::Failure;
use crate::backend::bucket::names::Blob;
use crate::backend::bucket::requests::{Pending, Requests};
use crate::base::limits::{BLOCK_BYTES, BLOCKS_AHEAD, BLOCKS_KEPT};
use crate::base::panics::locked;

/// A block of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    blob: Blob,
    start: u64,
}

impl Block {
    /// The one that begins there.
    pub fn new(blob: Blob, start: u64) -> Self {
        Self { blob, start }
    }

    fn ask(&self, requests: &Requests) -> Pending<Bytes> {
        let end = self.blob.size.min(self.start + BLOCK_BYTES as u64);
        Blobs::begin_get(requests, &self.blob, self.start..end)
    }
}

/// One that was asked for, and what is known of it.
#[derive(Debug)]
struct Kept {
    block: Block,
    asked: Arc<Mutex<Asked>>,
    /// Nobody has needed it yet.
    is_ahead: bool,
}

/// What is known of one that was asked for.
#[derive(Debug)]
enum Asked {
    UnderWay(Pending<Bytes>),
    Here(Bytes),
    /// It failed, and is asked for again by who needs it.
    Failed,
}

/// Those that were asked for last, the oldest first.
#[derive(Debug, Default)]
pub struct Blocks(Mutex<VecDeque<Kept>>);

impl Blocks {
    /// The contents of a block; meanwhile those that follow are asked for, if it was so itself, or is the first of an object.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn get<'a>(
        &self,
        requests: &Requests,
        block: &Block,
        following: impl Iterator<Item = &'a Block>,
    ) -> Result<Bytes, Failure> {
        let (asked, is_read_on) = self.find_or_ask(requests, block, false);
        if is_read_on {
            following.take(BLOCKS_AHEAD).for_each(|next| drop(self.find_or_ask(requests, next, true)));
        }
        let mut asked = locked(&asked);
        let pending = match std::mem::replace(&mut *asked, Asked::Failed) {
            Asked::UnderWay(pending) => pending,
            Asked::Here(bytes) => {
                *asked = Asked::Here(bytes.clone());
                return Ok(bytes);
            }
            Asked::Failed => block.ask(requests),
        };
        let bytes = pending.wait()?;
        *asked = Asked::Here(bytes.clone());
        Ok(bytes)
    }

    /// A block, and whether what follows it will be read next: it was asked for `ahead`, and is needed now for the first time, or it is the
    /// first of an object.
    fn find_or_ask(&self, requests: &Requests, block: &Block, ahead: bool) -> (Arc<Mutex<Asked>>, bool) {
        let mut blocks = locked(&self.0);
        if let Some(kept) = blocks.iter_mut().find(|kept| kept.block == *block) {
            let is_read_on = kept.is_ahead && !ahead;
            kept.is_ahead &= ahead;
            return (Arc::clone(&kept.asked), is_read_on);
        }
        let asked = Arc::new(Mutex::new(Asked::UnderWay(block.ask(requests))));
        blocks.push_back(Kept { block: block.clone(), asked: Arc::clone(&asked), is_ahead: ahead });
        let superfluous = blocks.len().saturating_sub(BLOCKS_KEPT);
        blocks.drain(..superfluous);
        (asked, block.start == 0 && !ahead)
    }
}
