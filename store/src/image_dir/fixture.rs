//! Holds and generations for unit tests, also for those of who stands on this crate.

#![expect(clippy::unwrap_used, reason = "a unit test that cannot have it has failed")]

use std::sync::Arc;
use std::time::Duration;

use crate::image_dir::hold::{Hold, Wish};
use crate::image_dir::pod::Pod;
use crate::image_dir::staging::{Purpose, Staging};
use crate::image_dir::{Generation, ImageDir};

/// A pod that no other one is.
pub fn wish(name: &str) -> Wish {
    let pod = Pod { host: name.to_owned(), container: Some(format!("uid-of-{name}")), ..Pod::default() };
    Wish { pod, expiry: Duration::from_secs(60), expired: None }
}

/// An image directory that is held.
pub fn held() -> (tempfile::TempDir, Arc<Hold>) {
    let volume = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(volume.path()).unwrap();
    (volume, Hold::take(&dir, &wish("job-0")).unwrap())
}

/// Commits an empty generation.
pub fn commit(hold: &Arc<Hold>) -> Generation {
    let (generation, staging) = (hold.dir().next().unwrap(), Staging::new(hold, Purpose::Stop));
    staging.make().unwrap();
    hold.place(generation).unwrap();
    staging.commit(generation).unwrap();
    generation
}
