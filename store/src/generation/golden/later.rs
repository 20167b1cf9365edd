//! What a later release has made, to which this one is the earlier: a person went back.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::content::{FORMS, Form, parts};
use super::*;
use crate::image_dir::fixture;
use crate::image_dir::retention::{give_up_oldest, superfluous};

const CHUNKS: Form = FORMS[1];

/// Commits a generation of these parts.
fn take(hold: &Arc<Hold>) -> Generation {
    let generation = hold.dir().next().unwrap();
    write::take(hold, (CHUNKS, &GenerationKeys::default()), &parts(generation)).generation
}

/// Lets a generation be one of a later release, which needs the same packs and says so in a way of its own.
fn make_later(dir: &ImageDir, generation: Generation) {
    fixture::make_later(dir, generation);
    let directory = Name::from("generations").join(&generation.to_string());
    dir.backend().remove(&directory.join(layout::PACK_LIST)).unwrap();
}

fn packs(dir: &ImageDir) -> BTreeSet<String> {
    dir.backend().list(&ImageDir::packs()).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn what_a_later_release_has_made_is_told_with_its_remedy_and_kept_with_all_that_it_needs() {
    fixture::everywhere(|place| {
        let hold = place.held();
        let (first, later, past) = (take(&hold), take(&hold), Past::Resumed(Generation(1)));
        make_later(hold.dir(), later);
        let before = packs(hold.dir());
        let error = Manifest::brought(hold.dir(), later, None).unwrap_err().to_string();
        assert!(error.contains("as crik 9.0.0 writes it") && error.contains("use the newer crik"), "{error}");
        let [third, fourth] = [take(&hold), take(&hold)];
        assert_eq!(third, Generation(3), "its number is taken");
        let offered = superfluous(hold.dir(), 1, |_| Ok(true)).unwrap();
        assert_eq!(offered.iter().map(|(generation, _)| *generation).collect::<Vec<_>>(), [third, first]);
        retain(&hold, past, 1).unwrap();
        hold.sweep_waste().unwrap();
        assert_eq!(hold.dir().list().unwrap(), [fourth, later, first]);
        assert_eq!(give_up_oldest(&hold, past).unwrap(), None);
        assert!(before.is_subset(&packs(hold.dir())));
        // Once the later release has done with it, it is waste.
        hold.remove(later).unwrap();
        hold.remove(first).unwrap();
        assert!(!before.is_subset(&packs(hold.dir())));
    });
}

/// The manifest of a generation of the first golden one in chunks, changed.
fn changed(change: impl Fn(&mut Value)) -> Result<Manifest, String> {
    let golden = all().into_iter().find(|golden| golden.form == CHUNKS).unwrap();
    let mut manifest: Value =
        serde_json::from_slice(&golden.files["generations/00000003/manifest.json"]).unwrap();
    change(&mut manifest);
    Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn what_a_release_need_not_know_is_left_aside_and_what_it_must_know_is_told() {
    let as_it_is = changed(|_| {}).unwrap();
    let more = changed(|manifest| {
        manifest["unheardOf"] = json!({"a": 1});
        manifest["streams"]["unheardOf"] = json!([1]);
        manifest["identity"]["unheardOf"] = json!("x");
    });
    assert_eq!(more.unwrap(), as_it_is);
    let unknown = |at: &str, value: Value| {
        let change = |manifest: &mut Value| {
            manifest["crikVersion"] = json!("9.0.0");
            *manifest.pointer_mut(at).unwrap() = value.clone();
        };
        changed(change).unwrap_err()
    };
    for (at, value) in [
        ("/streams/codec", json!("Brotli")),
        ("/volumeFiles/0/access", json!("map")),
        ("/unnamedFiles/0/kept", json!({"sealed": "1"})),
    ] {
        let told = unknown(at, value);
        let remedy = "was written by crik 9.0.0, and this crik";
        assert!(told.contains(remedy) && told.ends_with("use the release that wrote it"), "{told}");
    }
}

#[test]
fn an_index_of_a_later_release_is_told_from_damage() {
    let error = Index::decode(b"crikidx2 and whatever comes").unwrap_err().to_string();
    assert!(error.contains("written by a later crik; use the newer crik"), "{error}");
}
