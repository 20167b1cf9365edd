//! Cuts a stream into chunks, so that what is in two streams, or in the same one at two times, is cut alike in both.
//!
//! Memory is told as a list of pages. When a program takes or frees some, all that follow move on in the stream, and cuts at every n bytes
//! give none of the chunks of before. So it is the pages that decide: a chunk ends behind one whose bytes say so. What a second
//! checkpoint had to store of three programs, each of which had changed a tenth of its data (2026-11-26; pages in the order in which
//! CRIU writes them):
//!
//! | | cut every 32 KiB | by pages, 32 KiB in the mean | 64 KiB | 128 KiB |
//! | --- | --- | --- | --- | --- |
//! | Java 21 under G1, a map of 400,000 values | 97 % | 74 % | 76 % | 77 % |
//! | Python, arrays of numpy and a dict of 300,000 strings | 26 % | 24 % | 25 % | 25 % |
//! | Redis, 40,000 of 400,000 keys set at random places | 96 % | 96 % | 97 % | 98 % |
//!
//! Pages alone would be better still where changes lie scattered (54 %, 21 % and 28 %), and cost a name for each 4 KiB.

use std::mem;
use std::ops::Range;

use crate::base::limits::{
    CHUNK_MAX_PAGES, CHUNK_MEAN_PAGES, CHUNK_MIN_PAGES, PAGE_BYTES, ZERO_RUN_MIN_PAGES,
};

/// A part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The bytes that are there.
    Chunk(Range<usize>),
    /// So many bytes that are zero, of which nothing needs to be kept.
    Zeros(u64),
}

/// Cuts one stream where it lies: in a buffer that is filled, and that begins anew with what is in no piece yet.
#[derive(Debug, Default)]
pub struct Cutter {
    /// Where the chunk begins that is not complete.
    begin: usize,
    /// Up to where the pages were looked at.
    seen: usize,
    /// How many bytes at the end of these are whole pages of zeros. As long as they are few they are at the end of the chunk too.
    zeros: usize,
}

impl Cutter {
    /// The buffer has more of the stream: gives each piece that is complete.
    pub fn cut(&mut self, buffer: &[u8], give: &mut impl FnMut(Piece)) {
        while buffer.len() - self.seen >= PAGE_BYTES {
            self.seen += PAGE_BYTES;
            self.page(&buffer[..self.seen], give);
        }
    }

    /// Where what is in no piece yet begins: what comes next is cut as if the buffer began there.
    pub fn rest(&mut self) -> usize {
        self.seen -= self.begin;
        mem::take(&mut self.begin)
    }

    /// The stream is over: gives what is left of it.
    pub fn end(self, buffer: &[u8], give: &mut impl FnMut(Piece)) {
        if self.is_in_zeros() {
            give(Piece::Zeros(self.zeros as u64));
        }
        if self.begin < buffer.len() {
            give(Piece::Chunk(self.begin..buffer.len()));
        }
    }

    /// The chunk has got another page.
    fn page(&mut self, seen: &[u8], give: &mut impl FnMut(Piece)) {
        if is_zero(&seen[seen.len() - PAGE_BYTES..]) {
            self.zero_page(give);
            return;
        }
        if self.is_in_zeros() {
            give(Piece::Zeros(self.zeros as u64));
        }
        self.zeros = 0;
        if ends_a_chunk(&seen[self.begin..]) {
            self.give_up_to(self.seen, give);
        }
    }

    /// A few of them stay where they are, since they are small when they are compressed; from a longer run on they are a piece of their own.
    fn zero_page(&mut self, give: &mut impl FnMut(Piece)) {
        self.zeros += PAGE_BYTES;
        let is_full = self.seen - self.begin >= CHUNK_MAX_PAGES * PAGE_BYTES;
        let zeros_begin = self.seen.saturating_sub(self.zeros);
        if zeros_begin > self.begin && (is_full || self.is_in_zeros()) {
            self.give_up_to(zeros_begin, give);
        }
        if self.is_in_zeros() {
            self.begin = self.seen;
        }
    }

    fn give_up_to(&mut self, end: usize, give: &mut impl FnMut(Piece)) {
        give(Piece::Chunk(mem::replace(&mut self.begin, end)..end));
    }

    /// Whether what came last is a run of zeros that belongs to no chunk.
    fn is_in_zeros(&self) -> bool {
        self.zeros >= ZERO_RUN_MIN_PAGES * PAGE_BYTES
    }
}

/// Whether a chunk of whole pages ends behind its last one: by what is in that page, so that it does wherever it comes.
fn ends_a_chunk(chunk: &[u8]) -> bool {
    let pages = chunk.len() / PAGE_BYTES;
    let last = &chunk[chunk.len() - PAGE_BYTES..];
    pages >= CHUNK_MAX_PAGES
        || pages >= CHUNK_MIN_PAGES && mixed(last).is_multiple_of(CHUNK_MEAN_PAGES as u64)
}

/// A number of a page that is as good as by chance, from a few places of it: all that it has to tell is the same page again, and to read
/// all of each would cost as much as to hash it. Only of a page that is empty in those places all of it is read.
fn mixed(page: &[u8]) -> u64 {
    let of_few = folded(page.chunks(PAGE_BYTES / 8).filter_map(<[u8]>::first_chunk));
    let word = if of_few == 0 { folded(page.as_chunks().0.iter()) } else { of_few };
    finished(word)
}

/// Zero if all words are.
fn folded<'a>(words: impl Iterator<Item = &'a [u8; 8]>) -> u64 {
    words.fold(0, |all: u64, word| {
        let all = (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from_le_bytes(*word))
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        all ^ all >> 32
    })
}

/// Each bit of the word counts for each of what is returned (the last steps of SplitMix64).
fn finished(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

fn is_zero(page: &[u8]) -> bool {
    page == [0; PAGE_BYTES]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    enum Owned {
        Chunk(Vec<u8>),
        Zeros(u64),
    }

    /// The pieces of a stream that comes in parts of this size, of which the buffer keeps what it must.
    fn cut(stream: &[u8], part: usize) -> Vec<Owned> {
        let (mut cutter, mut buffer, mut pieces) = (Cutter::default(), Vec::new(), Vec::new());
        let mut keep = |buffer: &[u8], piece| {
            pieces.push(match piece {
                Piece::Chunk(range) => Owned::Chunk(buffer[range].to_owned()),
                Piece::Zeros(count) => Owned::Zeros(count),
            });
        };
        for part in stream.chunks(part) {
            buffer.extend_from_slice(part);
            cutter.cut(&buffer, &mut |piece| keep(&buffer, piece));
            buffer.drain(..cutter.rest());
            assert!(buffer.len() <= CHUNK_MAX_PAGES * PAGE_BYTES, "{} bytes are in no piece", buffer.len());
        }
        cutter.end(&buffer, &mut |piece| keep(&buffer, piece));
        pieces
    }

    fn joined(pieces: &[Owned]) -> Vec<u8> {
        let of = |piece: &Owned| match piece {
            Owned::Chunk(bytes) => bytes.clone(),
            Owned::Zeros(count) => vec![0; usize::try_from(*count).unwrap()],
        };
        pieces.iter().flat_map(of).collect()
    }

    /// A page that no other number gives.
    fn page(number: u64) -> Vec<u8> {
        let word = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..PAGE_BYTES as u64 / 8).flat_map(|place| word.rotate_left(place as u32).to_le_bytes()).collect()
    }

    fn pages(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
        numbers.into_iter().flat_map(page).collect()
    }

    /// Pages of some kinds, many of them zero, and a rest that is no page.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let page = prop_oneof![Just(vec![0; PAGE_BYTES]), (0..50_u64).prop_map(page)];
        let runs = prop::collection::vec((page, 1..40_usize), 0..12);
        (runs, 0..PAGE_BYTES).prop_map(|(runs, rest)| {
            let mut all: Vec<u8> = runs.into_iter().flat_map(|(page, times)| page.repeat(times)).collect();
            all.extend(std::iter::repeat_n(7, rest));
            all
        })
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_stream_however_it_comes(stream in stream(), part in 1..100_000_usize) {
            let pieces = cut(&stream, part);
            prop_assert_eq!(joined(&pieces), stream.clone());
            prop_assert_eq!(pieces, cut(&stream, stream.len().max(1)));
        }

        #[test]
        fn no_chunk_is_larger_than_said_nor_begins_with_what_need_not_be_kept(stream in stream()) {
            for piece in cut(&stream, 5000) {
                match piece {
                    Owned::Chunk(bytes) => prop_assert!((1..=CHUNK_MAX_PAGES * PAGE_BYTES).contains(&bytes.len())),
                    Owned::Zeros(count) => prop_assert!(count >= (ZERO_RUN_MIN_PAGES * PAGE_BYTES) as u64),
                }
            }
        }
    }

    fn chunks(stream: &[u8]) -> HashSet<Vec<u8>> {
        let bytes = cut(stream, 1 << 20).into_iter().filter_map(|piece| match piece {
            Owned::Chunk(bytes) => Some(bytes),
            Owned::Zeros(_) => None,
        });
        bytes.collect()
    }

    #[test]
    fn what_comes_in_between_leaves_the_other_chunks_as_they_were() {
        let before = chunks(&pages(0..4000));
        for middle in [1, 5, 33] {
            let after = chunks(&pages((0..2000).chain(10_000..10_000 + middle).chain(2000..4000)));
            let new = after.difference(&before).count();
            assert!(new <= 3 + middle as usize / CHUNK_MIN_PAGES, "{new} new ones of {}", after.len());
        }
    }

    #[test]
    fn chunks_are_as_large_as_they_are_to_be_in_the_mean() {
        let mean = 20_000 / cut(&pages(0..20_000), 1 << 20).len();
        assert!((CHUNK_MEAN_PAGES / 2..CHUNK_MEAN_PAGES * 2).contains(&mean), "{mean} pages");
    }

    #[test]
    fn pages_that_are_nearly_empty_are_cut_no_oftener_than_others() {
        let sparse = |number: u64| {
            let mut page = vec![0; PAGE_BYTES];
            page[1001..1009].copy_from_slice(&(number + 1).to_le_bytes());
            page
        };
        let stream: Vec<u8> = (0..4000).flat_map(sparse).collect();
        let mean = 4000 / cut(&stream, 1 << 20).len();
        assert!((CHUNK_MEAN_PAGES / 2..CHUNK_MEAN_PAGES * 2).contains(&mean), "{mean} pages");
    }

    #[test]
    fn of_long_runs_of_zeros_nothing_is_kept_and_short_ones_part_no_chunk() {
        let zeros = |count: usize| vec![0; count * PAGE_BYTES];
        let bytes = |count: usize| u64::try_from(count * PAGE_BYTES).unwrap();
        let long = [zeros(100), page(1), zeros(ZERO_RUN_MIN_PAGES), page(2)].concat();
        let pieces = cut(&long, 777);
        assert_eq!(
            pieces,
            [
                Owned::Zeros(bytes(100)),
                Owned::Chunk(page(1)),
                Owned::Zeros(bytes(ZERO_RUN_MIN_PAGES)),
                Owned::Chunk(page(2))
            ]
        );
        // Also where a chunk is full meanwhile.
        for (before, run) in
            (CHUNK_MAX_PAGES - 4..CHUNK_MAX_PAGES).flat_map(|n| (4..9).map(move |run| (n, run)))
        {
            let stream = [vec![7; before * PAGE_BYTES], zeros(run), page(2)].concat();
            let runs = cut(&stream, 777).into_iter().filter(|piece| matches!(piece, Owned::Zeros(_)));
            assert_eq!(runs.collect::<Vec<_>>(), [Owned::Zeros(bytes(run))], "{run} behind {before}");
        }
        let short = [page(1), zeros(ZERO_RUN_MIN_PAGES - 1), page(2)].concat();
        assert_eq!(cut(&short, 777).iter().filter(|piece| matches!(piece, Owned::Zeros(_))).count(), 0);
    }
}
