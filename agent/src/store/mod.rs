//! Where checkpoints are kept: one checkpoint, and the image directory that it is in. It imports `config` and `base`, and
//! knows neither a process nor the cluster.

pub mod generation;
pub mod image_dir;
