//! The bytes of a text, and where each node stands in them.

use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use crik_api::{NodeState, NodeStatus};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::OwnedSemaphorePermit;

use super::counted::Counted;
use crate::base::limits;
use crate::index::Index;

/// The bytes of a text.
pub struct Written {
    /// In pieces of [`limits::PORTION`] or a little more. One large buffer would have to be moved as it grows.
    pub plain: Vec<Bytes>,
    /// By name.
    nodes: Vec<Place>,
    zipped: OnceLock<Zipped>,
    _place: OwnedSemaphorePermit,
    counted: Counted,
}

/// Where one node stands.
struct Place {
    state: NodeState,
    piece: u32,
    from: u32,
    to: u32,
}

/// The same in gzip.
struct Zipped {
    pieces: Vec<Bytes>,
    length: usize,
    _counted: Counted,
}

impl Written {
    /// Writes all nodes.
    pub fn write(index: &Index, place: OwnedSemaphorePermit, held: Arc<AtomicUsize>) -> Self {
        let (plain, nodes) = write(index);
        let bytes = plain.iter().map(Bytes::len).sum::<usize>() + nodes.len() * size_of::<Place>();
        Self { plain, nodes, zipped: OnceLock::new(), _place: place, counted: Counted::new(held, bytes) }
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes of a range that are in one of these states, each with its text.
    pub fn chosen<'a>(
        &'a self,
        range: Range<usize>,
        states: Option<&'a [NodeState]>,
    ) -> impl Iterator<Item = (usize, &'a [u8])> {
        let nodes = self.nodes.get(range.clone()).unwrap_or_default();
        let fits = move |place: &Place| states.is_none_or(|states| states.contains(&place.state));
        range
            .zip(nodes)
            .filter(move |(_, place)| fits(place))
            .map(|(number, place)| (number, self.text(place)))
    }

    fn text(&self, place: &Place) -> &[u8] {
        &self.plain[place.piece as usize][place.from as usize..place.to as usize]
    }

    /// The pieces in gzip, and their length, once they are there.
    pub fn zipped(&self) -> Option<(&[Bytes], usize)> {
        self.zipped.get().map(|zipped| (zipped.pieces.as_slice(), zipped.length))
    }

    /// Sees to it that they are there, which takes a while.
    pub fn zip(&self) {
        self.zipped.get_or_init(|| {
            let pieces = zip(&self.plain);
            let length = pieces.iter().map(Bytes::len).sum();
            Zipped { pieces, length, _counted: self.counted.more(length) }
        });
    }
}

fn write(index: &Index) -> (Vec<Bytes>, Vec<Place>) {
    let (mut pieces, mut piece, mut nodes) = (Vec::new(), br#"{"nodes":["#.to_vec(), Vec::new());
    let mut after: Option<String> = None;
    loop {
        let page = index.page(after.as_deref());
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        for status in &page {
            if !nodes.is_empty() {
                piece.push(b',');
            }
            nodes.push(add(status, pieces.len(), &mut piece));
            if piece.len() >= limits::PORTION {
                pieces.push(Bytes::from(std::mem::take(&mut piece).into_boxed_slice()));
            }
        }
    }
    piece.extend_from_slice(b"]}");
    pieces.push(piece.into());
    (pieces, nodes)
}

fn add(status: &NodeStatus, number: usize, piece: &mut Vec<u8>) -> Place {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let from = small(piece.len());
    // Into memory, and of a type that can always be written.
    let _ = serde_json::to_writer(&mut *piece, status);
    Place { state: status.state, piece: small(number), from, to: small(piece.len()) }
}

/// At the level that costs least: lists repeat themselves so much that it leaves a tenth of them.
fn zip(plain: &[Bytes]) -> Vec<Bytes> {
    let (mut encoder, mut pieces) = (GzEncoder::new(Vec::new(), Compression::fast()), Vec::new());
    for piece in plain {
        // Into memory, which takes everything.
        let _ = encoder.write_all(piece);
        if encoder.get_ref().len() >= limits::PORTION {
            pieces.push(std::mem::take(encoder.get_mut()).into());
        }
    }
    pieces.push(encoder.finish().unwrap_or_default().into());
    pieces
}
