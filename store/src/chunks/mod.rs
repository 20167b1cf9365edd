//! What streams are kept as: chunks, each of which is kept once in an image directory, many of them in a pack. It imports `backend`, `encryption` and `base`.
//!
//! ```text
//! stream ── cut ──> pieces ── name ──> known? ── codec ──> pack      (write)
//! stream <── pieces in order <── name again <── codec <── pack       (read)
//! ```
//!
//! What a checkpoint consists of is in its index: for each stream the pieces, for each piece the pack and the place. A pack is only
//! bytes, one chunk after the other.

mod buffers;
pub mod choice;
pub mod codec;
pub mod cursor;
pub mod cut;
mod group_reader;
pub mod index;
mod keep;
mod kept_chunks;
pub mod name;
pub mod pack;
mod pack_writer;
pub mod place;
pub mod read;
mod read_ahead;
mod read_error;
mod results;
pub mod shared;
pub mod stream;
pub mod sweep;
#[cfg(test)]
mod tests;
pub mod write;
