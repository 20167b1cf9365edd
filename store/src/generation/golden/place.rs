//! Where golden image directories lie, and copies of them that a test may change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::content::{FORMS, Form};
use crate::encryption::keys::EncryptionKeys;
use crate::generation::keys::GenerationKeys;
use crate::generation::signature::Keys;
use crate::image_dir::Generation;
use crate::image_dir::fixture::{Place, bucket_of};

/// The BLAKE3 of each part of the generations.
pub type Hashes = BTreeMap<Generation, BTreeMap<String, String>>;

/// An image directory that a release has written.
pub struct Golden {
    pub form: Form,
    /// A copy of it.
    pub place: Place,
    pub hashes: Hashes,
    /// Its files by their paths, or its objects by their names.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Where those of all releases are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Those of each release.
pub fn all() -> Vec<Golden> {
    let mut releases: Vec<PathBuf> =
        fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    releases.retain(|path| path.is_dir());
    releases.sort();
    assert!(!releases.is_empty(), "there is nothing in {}", root().display());
    let of = |release: &PathBuf| FORMS.map(|form| Golden::read(release, form));
    releases.iter().flat_map(of).collect()
}

/// The keys with which all of them were made.
pub fn keys(form: Form) -> GenerationKeys {
    let [signing, encryption] = ["signing.key", "encryption.key"].map(|name| root().join(name));
    let signing = form.is_signed.then(|| Keys::read(&signing, &[]).unwrap());
    let read = || Arc::new(EncryptionKeys::parse(&fs::read(encryption).unwrap()).unwrap());
    GenerationKeys { signing, encryption: form.is_encrypted.then(read) }
}

impl Golden {
    fn read(release: &Path, form: Form) -> Self {
        println!("{} of {}", form.name, release.display());
        let files = files_below(&release.join(form.name));
        let hashes = fs::read(release.join(format!("{}.json", form.name))).unwrap();
        Self { form, place: place_of(form, &files), hashes: serde_json::from_slice(&hashes).unwrap(), files }
    }
}

fn place_of(form: Form, files: &BTreeMap<String, Vec<u8>>) -> Place {
    if form.in_a_bucket {
        let store = InMemory::new();
        let put = async {
            for (name, bytes) in files {
                store.put(&name.as_str().into(), bytes.clone().into()).await.unwrap();
            }
        };
        now(put);
        return Place::Bucket(bucket_of(Arc::new(store)));
    }
    let volume = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = volume.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    Place::Volume(volume)
}

/// All that is there by now.
pub fn files_of(place: &Place) -> BTreeMap<String, Vec<u8>> {
    match place {
        Place::Volume(volume) => files_below(volume.path()),
        Place::Bucket(bucket) => now(objects(&*bucket.store)),
    }
}

async fn objects(store: &dyn ObjectStore) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let listed: Vec<_> = futures_util::TryStreamExt::try_collect(store.list(None)).await.unwrap();
    for meta in listed {
        let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        found.insert(meta.location.to_string(), bytes.to_vec());
    }
    found
}

fn files_below(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut directories) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
