//! The contents of files that are too large for the names object: one object each, which is written once.

use std::collections::BTreeSet;
use std::sync::Mutex;

use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _, PutPayload};

use crate::backend::bucket::failure::Failure;
use crate::backend::bucket::names::Blob;
use crate::backend::bucket::requests::Requests;
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
pub struct Awaited<'a> {
    blobs: &'a Blobs,
    /// The object.
    pub blob: Blob,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        locked(&self.blobs.awaited).remove(&self.blob.id);
    }
}

impl Blobs {
    /// Writes an object that is called `id`, which no other ever was.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, requests: &Requests, id: String, contents: &[u8]) -> Result<Awaited<'_>, Failure> {
        let size = contents.len() as u64;
        locked(&self.awaited).insert(id.clone());
        let awaited = Awaited { blobs: self, blob: Blob { id, size } };
        let (path, payload) = (path(requests, &awaited.blob.id), PutPayload::from(contents.to_vec()));
        requests.ask(size, move |store| {
            let (path, payload) = (path.clone(), payload.clone());
            async move { store.put(&path, payload).await }
        })?;
        Ok(awaited)
    }

    /// The first `most` bytes of an object.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn get(requests: &Requests, blob: &Blob, most: u64) -> Result<Vec<u8>, Failure> {
        let wanted = blob.size.min(most);
        // There is no range with nothing in it.
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let path = path(requests, &blob.id);
        requests.ask(wanted, move |store| {
            let path = path.clone();
            let options = GetOptions { range: Some(GetRange::Bounded(0..wanted)), ..GetOptions::default() };
            async move { Ok(store.get_opts(&path, options).await?.bytes().await?.to_vec()) }
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
        requests.remove(ids.into_iter().map(|id| path(requests, &id)).collect())
    }
}

fn path(requests: &Requests, id: &str) -> Path {
    requests.path(&format!("{BLOBS}/{id}"))
}
