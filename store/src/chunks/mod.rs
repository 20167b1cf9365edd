//! What streams are to be kept as: chunks, each of which is kept once in an image directory. Nothing is kept so yet. It imports
//! `base` alone.

pub mod cut;
pub mod name;
