//! The contents of files that are too large for the names object: one object each, which is written once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _, PutPayload, PutResult};

use crate::backend::bucket::failure::Failure;
use crate::backend::bucket::names::Blob;
use crate::backend::bucket::requests::{Pending, Requests};
use crate::base::panics::locked;

/// Where they are, below the image directory's prefix.
pub const BLOBS: &str = "blobs";

/// The objects, and those of them that no name refers to yet.
#[derive(Debug, Default)]
pub struct Blobs {
    awaited: Mutex<BTreeSet<String>>,
}

/// An object to which a name is about to refer; until this is dropped nobody takes it for superfluous.
#[derive(Debug)]
pub struct Awaited {
    blobs: Arc<Blobs>,
    /// The object.
    pub blob: Blob,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        locked(&self.blobs.awaited).remove(&self.blob.id);
    }
}

impl Blobs {
    /// Writes an object that is called `id`, which no other ever was.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(
        self: &Arc<Self>,
        requests: &Requests,
        id: String,
        contents: Vec<u8>,
    ) -> Result<Awaited, Failure> {
        let (awaited, put) = self.start(requests, id, contents);
        put.wait().map(|_| awaited)
    }

    /// The same, and does not wait until it is there.
    pub fn start(
        self: &Arc<Self>,
        requests: &Requests,
        id: String,
        contents: Vec<u8>,
    ) -> (Awaited, Pending<PutResult>) {
        let size = contents.len() as u64;
        locked(&self.awaited).insert(id.clone());
        let awaited = Awaited { blobs: Arc::clone(self), blob: Blob { id, size } };
        let (path, payload) = (path(requests, &awaited.blob.id), PutPayload::from(contents));
        let put = requests.start(size, move |store| {
            let (path, payload) = (path.clone(), payload.clone());
            async move { store.put(&path, payload).await }
        });
        (awaited, put)
    }

    /// The first `most` bytes of all these objects.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn get(requests: &Requests, blobs: &[Blob], most: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        for blob in blobs {
            let wanted = blob.size.min(most.saturating_sub(bytes.len() as u64));
            // There is no range with nothing in it.
            if wanted > 0 {
                bytes.extend_from_slice(&Self::begin_get(requests, blob, 0..wanted).wait()?);
            }
        }
        Ok(bytes)
    }

    /// Asks for what is in this range of an object, and does not wait for it.
    pub fn begin_get(requests: &Requests, blob: &Blob, range: Range<u64>) -> Pending<Bytes> {
        let path = path(requests, &blob.id);
        requests.start(range.end - range.start, move |store| {
            let path = path.clone();
            let options =
                GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
            async move { store.get_opts(&path, options).await?.bytes().await }
        })
    }

    /// The names of all objects that there are now.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn list(requests: &Requests) -> Result<Vec<String>, Failure> {
        let found = requests.list(BLOBS)?;
        Ok(found.iter().filter_map(|meta| meta.location.filename().map(str::to_owned)).collect())
    }

    /// Those that are written, and to which a name may refer any moment.
    pub fn awaited(&self) -> BTreeSet<String> {
        locked(&self.awaited).clone()
    }

    /// Removes objects. That they are not there any more is no error.
    ///
    /// # Errors
    /// One of them is left.
    pub fn remove(requests: &Requests, ids: impl IntoIterator<Item = String>) -> Result<(), Failure> {
        requests.remove_waste(ids.into_iter().map(|id| path(requests, &id)).collect())
    }
}

fn path(requests: &Requests, id: &str) -> Path {
    requests.path(&format!("{BLOBS}/{id}"))
}
