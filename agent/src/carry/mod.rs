//! What goes over with a tree besides its memory. Imports `cluster`, `store`, `tree`, `config` and `base`.

pub mod clocks;
