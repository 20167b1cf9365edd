//! What releases have written, kept as they wrote it: this one reads all of it to the byte, harms none of it, goes on upon it, and writes
//! what they could read.
//!
//! In `tests/golden/` each release that writes in a form of its own has a directory, which is written by
//!
//! ```text
//! CRIK_WRITE_GOLDEN=1 cargo test --package crik-store golden
//! ```
//!
//! and never again.

mod content;
mod later;
mod place;
mod shape;
mod write;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use content::parts;
use place::{Hashes, all, files_of, keys};

use crate::backend::Name;
use crate::chunks::index::Index;
use crate::generation::keys::GenerationKeys;
use crate::generation::manifest::Manifest;
use crate::generation::parts::Parts;
use crate::generation::streams;
use crate::generation::verify::{self, Trust};
use crate::generation::verify_whole::whole;
use crate::image_dir::attempts::Attempts;
use crate::image_dir::fixture::{Place, wish};
use crate::image_dir::format_version::version;
use crate::image_dir::hold::{Hold, HoldError, Wish};
use crate::image_dir::resumable::resumable;
use crate::image_dir::retention::{Past, retain};
use crate::image_dir::{Generation, ImageDir, layout};

#[test]
fn golden_image_directories_are_written() {
    if std::env::var_os("CRIK_WRITE_GOLDEN").is_some() {
        write::golden();
    }
}

/// That each part of these generations is what it was.
fn are_whole(dir: &ImageDir, keys: &GenerationKeys, hashes: &Hashes) {
    for (generation, parts) in hashes {
        let (path, manifest) = Manifest::brought(dir, *generation, keys.signing.as_ref()).unwrap();
        let image_dir = manifest.image_dir.clone().unwrap();
        verify::belongs(&path, &manifest, &Trust { key: keys.signing.as_ref(), image_dir: &image_dir })
            .unwrap();
        let encryption = keys.encryption.as_deref();
        whole(&path, dir, (&manifest, encryption), &|_| {}).unwrap();
        let reader = streams::reader(&path, dir, &manifest, (encryption, &Arc::default())).unwrap();
        let found = Parts::new(&path, reader);
        for (name, expected) in parts {
            let mut bytes = Vec::new();
            found.open(name).unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), expected, "{name} of {generation}");
        }
    }
}

/// Takes it over from the pod that has made it, which is known to be gone.
fn taken_over(dir: &ImageDir) -> Arc<Hold> {
    Hold::take(dir, &Wish { expired: Some(1), ..wish("job-2") }).unwrap()
}

fn numbers(generations: &[u64]) -> Vec<Generation> {
    generations.iter().copied().map(Generation).collect()
}

#[test]
fn all_that_a_release_has_kept_is_read_as_it_wrote_it() {
    for golden in all() {
        let dir = golden.place.open();
        assert_eq!(dir.list().unwrap(), numbers(&[3, 2, 1]));
        are_whole(&dir, &keys(golden.form), &golden.hashes);
        assert_eq!(resumable(&dir).unwrap(), numbers(&[2]));
        assert_eq!(dir.ended().unwrap().unwrap().newest, Generation(1));
        assert_eq!(dir.lines().unwrap().apart[0].generations, numbers(&[3]));
        assert_eq!(dir.last_stop().unwrap().unwrap().why, "it uses io_uring");
        assert_eq!(dir.verdict(1).unwrap().reasons, ["no room"]);
        let attempts = |number| Attempts::read(&dir, Generation(number)).unwrap();
        assert!(attempts(1).proven() && attempts(1).counted() == 0 && attempts(2).always_interrupted());
        let held = Hold::take(&dir, &wish("job-2"));
        assert!(matches!(held, Err(HoldError::Held(seen)) if seen.name().contains("job-0")));
    }
}

#[test]
fn a_sweep_takes_nothing_that_a_release_has_kept() {
    for golden in all() {
        let dir = golden.place.open();
        let (hold, keys) = (taken_over(&dir), keys(golden.form));
        let waste = ImageDir::packs().join("00000000000000000000000000000007");
        dir.backend().make_all(&ImageDir::packs()).unwrap();
        dir.backend().create(&waste, &[7; 9000]).unwrap();
        hold.remove_left_overs().unwrap();
        hold.sweep_waste().unwrap();
        assert!(dir.backend().look(&waste).is_err());
        are_whole(&dir, &keys, &golden.hashes);
    }
}

#[test]
fn this_release_goes_on_upon_what_an_earlier_one_has_kept() {
    for golden in all() {
        let dir = golden.place.open();
        let (hold, keys) = (taken_over(&dir), keys(golden.form));
        let made = write::take(&hold, (golden.form, &keys), &parts(Generation(4)));
        assert_eq!(made.generation, Generation(4));
        // What is sealed is bound to its place, and the copy on a volume has another one.
        if let Some(streams) = made.streams.filter(|_| !golden.form.is_encrypted || golden.form.in_a_bucket) {
            assert!(streams.new_bytes < streams.kept_bytes, "it stores again what is there: {streams:?}");
        }
        retain(&hold, Past::Resumed(Generation(2)), 1).unwrap();
        assert_eq!(dir.list().unwrap(), numbers(&[4, 3, 2]));
        let mut left = golden.hashes;
        left.remove(&Generation(1));
        are_whole(&dir, &keys, &left);
    }
}

/// What is JSON in an image directory, by its names there, and the object of a bucket that has those.
fn told(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let names = files_of(place).into_iter().filter(|(name, _)| name.ends_with("/names"));
    let (dir, mut found, mut directories) = (place.open(), BTreeMap::from_iter(names), vec![Name::root()]);
    while let Some(directory) = directories.pop() {
        for entry in dir.backend().list(&directory).unwrap() {
            let name = directory.join(&entry.name);
            if entry.is_directory {
                directories.push(name);
            } else if entry.name.ends_with(".json") && entry.name != layout::CARRIED_LIST {
                let bytes = dir.backend().read(&name, u64::MAX).unwrap();
                found.insert(name.as_path().display().to_string(), bytes);
            }
        }
    }
    found
}

#[test]
fn what_this_release_writes_tells_all_that_an_earlier_one_reads() {
    for golden in all() {
        let place = write::new_place(golden.form);
        let _hold = write::fill(&place, golden.form);
        let (ours, theirs) = (told(&place), told(&golden.place));
        let manifests = theirs.keys().filter(|name| name.ends_with(layout::MANIFEST)).count();
        assert_eq!(manifests, golden.hashes.len());
        for (name, theirs) in &theirs {
            if name.ends_with(layout::MANIFEST) && version(&ours[name]).unwrap() > version(theirs).unwrap() {
                // It is refused there, with the remedy.
                continue;
            }
            let (ours, theirs) = (shape::shape(&ours[name]), shape::shape(theirs));
            let lacking: Vec<&String> = theirs.difference(&ours).collect();
            assert!(lacking.is_empty(), "{name} has lost {lacking:?}");
        }
    }
}

#[test]
fn an_index_has_the_form_that_it_has_always_had() {
    for golden in all().into_iter().filter(|golden| golden.form.in_chunks && !golden.form.is_encrypted) {
        for (name, bytes) in golden.files.iter().filter(|(name, _)| name.ends_with("/index")) {
            let index = Index::decode(bytes).unwrap();
            assert!(index.encode().unwrap() == *bytes, "{name}");
        }
    }
}
