//! What a stream is kept as: chunks, each of which is kept once in an image directory. It imports `base` alone.

pub mod cut;
pub mod name;
