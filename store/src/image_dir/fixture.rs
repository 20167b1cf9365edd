//! Holds and generations for unit tests, also for those of who stands on this crate.

#![expect(clippy::unwrap_used, reason = "a unit test that cannot have it has failed")]

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::backend::bucket;
use crate::image_dir::buckets::Connected;
use crate::image_dir::hold::{Hold, Wish};
use crate::image_dir::pod::Pod;
use crate::image_dir::staging::{Purpose, Staging};
use crate::image_dir::{Generation, ImageDir, format_version, layout};

/// A pod that no other one is.
pub fn wish(name: &str) -> Wish {
    let pod = Pod { host: name.to_owned(), container: Some(format!("uid-of-{name}")), ..Pod::default() };
    Wish { pod, expiry: Duration::from_secs(60), expired: None }
}

/// Where an image directory is.
#[derive(Debug)]
pub enum Place {
    /// In a directory.
    Volume(tempfile::TempDir),
    /// In a bucket.
    Bucket(bucket::Place),
}

impl Place {
    /// A new bucket.
    pub fn bucket() -> Self {
        Self::Bucket(bucket_of(Arc::new(InMemory::new())))
    }

    /// The image directory there, as a pod of its own opens it.
    pub fn open(&self) -> ImageDir {
        match self {
            Self::Volume(volume) => ImageDir::open(volume.path()).unwrap(),
            Self::Bucket(bucket) => ImageDir::open_in(connected(bucket.clone())).unwrap(),
        }
    }

    /// The same, held.
    pub fn held(&self) -> Arc<Hold> {
        Hold::take(&self.open(), &wish("job-0")).unwrap()
    }
}

/// A connection to it, with a place for files.
pub fn connected(place: bucket::Place) -> Connected {
    Connected { connection: place.connect().unwrap(), local: std::env::temp_dir() }
}

/// A bucket in this store.
pub fn bucket_of(store: Arc<dyn ObjectStore>) -> bucket::Place {
    let (prefix, told) = ("checkpoints/job-0".into(), "s3://bucket/checkpoints/job-0".into());
    bucket::Place { store, prefix, told, limit: Duration::from_secs(1) }
}

/// What holds wherever an image directory is.
pub fn everywhere(test: impl Fn(&Place)) {
    for place in [Place::Volume(tempfile::tempdir().unwrap()), Place::bucket()] {
        // Told if it fails.
        println!("in {place:?}");
        test(&place);
    }
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

/// Lets a generation be one of a later release.
pub fn make_later(dir: &ImageDir, generation: Generation) {
    let version = format_version::VERSION + 1;
    let manifest = format!(r#"{{"version": {version}, "crikVersion": "9.0.0", "all": "in another way"}}"#);
    let name = generation.directory().join(layout::MANIFEST);
    dir.backend().create(&name, manifest.as_bytes()).unwrap();
}
