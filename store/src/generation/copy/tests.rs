use std::fs;
use std::path::PathBuf;

use super::*;
use crate::encryption::keys::EncryptionKeys;
use crate::generation::fixture::manifest;
use crate::generation::open_files::UnnamedFile;
use crate::generation::signature::Keys;
use crate::image_dir::fixture::{Place, everywhere, held};

/// The parts of the generations here; the second is larger than what is read at once.
const PARTS: [(&str, &[u8]); 4] = [
    ("criu/inventory.img", b"small"),
    ("criu/pages-1.img", &[7; 3 * limits::READ_PIECE_BYTES / 2]),
    ("carried.data", b"of the layer"),
    ("unnamed/1", b"of nobody"),
];

fn keys(secret: &str) -> GenerationKeys {
    let encryption = EncryptionKeys::parse(secret.repeat(40).as_bytes()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, secret.repeat(40)).unwrap();
    let signing = Keys::read(file.path(), &[]).unwrap();
    GenerationKeys { signing: Some(signing), encryption: Some(Arc::new(encryption)) }
}

/// Commits a generation of these parts and a log of CRIU's.
fn made(hold: &Arc<Hold>, keys: &GenerationKeys, in_chunks: bool) -> Generation {
    made_with(hold, keys, in_chunks, |_| {})
}

fn made_with(
    hold: &Arc<Hold>,
    keys: &GenerationKeys,
    in_chunks: bool,
    change: impl Fn(&mut Manifest),
) -> Generation {
    let (staging, headway) = (Staging::new(hold, Purpose::Stop), Arc::<Headway>::default());
    let to = Target { hold, keys, first: None };
    let (files, streams) = stage(&staging, &to, in_chunks, &headway).unwrap();
    let parts = NewParts::new(files.staging(), streams.clone());
    for (name, bytes) in PARTS {
        let mut part = parts.create(name).unwrap();
        part.write_all(bytes).unwrap();
        part.finish().unwrap();
    }
    files.create("criu/dump.log").unwrap().write_all(b"said").unwrap();
    let generation = hold.dir().next().unwrap();
    let mut manifest = manifest(generation, hold.dir().root());
    change(&mut manifest);
    commit(&staging, (manifest, streams), keys.signing.as_ref(), &headway).unwrap();
    generation
}

fn copied(
    from: &Hold,
    generation: Generation,
    to: &Arc<Hold>,
    keys: &GenerationKeys,
    in_chunks: bool,
) -> Manifest {
    let target = Target { hold: to, keys, first: None };
    copy((from.dir(), generation), &target, in_chunks, &|_| {}).unwrap()
}

/// Finds all parts as they were, in a generation that is for where it is.
fn is_whole(hold: &Hold, keys: &GenerationKeys, generation: Generation) {
    let (path, manifest) = Manifest::brought(hold.dir(), generation, keys.signing.as_ref()).unwrap();
    let trust = Trust { key: keys.signing.as_ref(), image_dir: hold.dir().root() };
    verify::belongs(&path, &manifest, &trust).unwrap();
    let reader = streams::reader(&path, hold.dir(), &manifest, (keys.encryption.as_deref(), &Arc::default()));
    let parts = Parts::new(&path, reader.unwrap());
    for (name, expected) in PARTS.into_iter().chain([("criu/dump.log", &b"said"[..])]) {
        let mut bytes = Vec::new();
        parts.open(name).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == expected, "{name}");
    }
}

#[test]
fn a_generation_goes_to_any_place_in_any_form_and_back() {
    for in_chunks in [false, true] {
        everywhere(|place| {
            let ((_here, here), (_back, back)) = (held(), held());
            let (there, keys) = (place.held(), GenerationKeys::default());
            made(&here, &keys, !in_chunks);
            let generation = made(&here, &keys, in_chunks);
            // Memory in a bucket is always kept in chunks.
            copied(&here, generation, &there, &keys, in_chunks || matches!(place, Place::Bucket(_)));
            assert_eq!(there.dir().list().unwrap(), [generation]);
            is_whole(&there, &keys, generation);
            copied(&there, generation, &back, &keys, !in_chunks);
            is_whole(&back, &keys, generation);
        });
    }
}

#[test]
fn what_is_signed_and_encrypted_is_so_for_its_new_place() {
    let ((_here, here), (_there, there), keys) = (held(), held(), keys("k"));
    let generation = made(&here, &keys, true);
    copied(&here, generation, &there, &keys, true);
    is_whole(&there, &keys, generation);
    // Who has not its key would make a copy that is refused.
    let target = Target { hold: &there, keys: &GenerationKeys::default(), first: None };
    assert!(matches!(copy((here.dir(), generation), &target, true, &|_| {}), Err(CopyError::Signed)));
}

#[test]
fn a_generation_that_shares_chunks_with_another_brings_what_is_new() {
    let ((_here, here), (_there, there), keys) = (held(), held(), GenerationKeys::default());
    let (first, second) = (made(&here, &keys, true), made(&here, &keys, true));
    copied(&here, first, &there, &keys, true);
    let target = Target { hold: &there, keys: &keys, first: Some(first) };
    let copied = copy((here.dir(), second), &target, true, &|_| {}).unwrap();
    assert_eq!(copied.streams.unwrap().new_bytes, 0);
    is_whole(&there, &keys, second);
}

#[test]
fn what_is_damaged_is_not_copied_and_leaves_nothing() {
    for in_chunks in [false, true] {
        let ((_here, here), (_there, there), keys) = (held(), held(), GenerationKeys::default());
        let generation = made(&here, &keys, in_chunks);
        let damaged = match in_chunks {
            false => here.dir().generation(generation).join("criu/pages-1.img"),
            true => first_pack(&here),
        };
        let mut bytes = fs::read(&damaged).unwrap();
        bytes[3] ^= 1;
        fs::write(&damaged, bytes).unwrap();
        let target = Target { hold: &there, keys: &keys, first: None };
        let error = copy((here.dir(), generation), &target, true, &|_| {}).unwrap_err().to_string();
        assert!(error.contains("was altered after the commit"), "{error}");
        assert!(there.dir().list().unwrap().is_empty());
        let left = fs::read_dir(there.dir().local_path(there.name())).unwrap();
        let left: Vec<String> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.starts_with("staging")), "{left:?}");
    }
}

fn first_pack(hold: &Hold) -> PathBuf {
    let packs = hold.dir().path_of(&ImageDir::packs());
    fs::read_dir(packs).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn what_can_only_be_resumed_where_it_is_is_refused_with_the_reason() {
    let ((_here, here), (_there, there), keys) = (held(), held(), GenerationKeys::default());
    let linked = |manifest: &mut Manifest| {
        manifest.unnamed_files.push(UnnamedFile {
            name: "/data/log (deleted)".into(),
            kept: Kept::Linked("1".to_owned()),
            mode: 0o100_600,
            uid: 0,
            gid: 0,
        });
    };
    let target = Target { hold: &there, keys: &keys, first: None };
    let generation = made_with(&here, &keys, true, linked);
    let error = copy((here.dir(), generation), &target, true, &|_| {}).unwrap_err().to_string();
    assert_eq!(
        error,
        "its program had /data/log open, a file of the volume that has lost this name: it can only be resumed where it is"
    );
}
