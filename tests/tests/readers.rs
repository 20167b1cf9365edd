//! Whatever is on the volume, it is read or refused: no panic, and nothing made up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use crik_agent::tree::criu::images;
use crik_store::generation::digest::FileDigest;
use crik_store::generation::manifest::Manifest;
use crik_store::generation::signature::Keys;
use crik_store::image_dir::Generation;
use crik_store::image_dir::attempts::{Attempt, Attempts};
use crik_store::image_dir::end_mark::EndMark;
use crik_store::image_dir::holder::{self, Holder};
use crik_store::image_dir::pod::Pod;
use crik_tests::pod::Pod as Container;
use crik_tests::story::{SINGLE, checkpointed};
use crik_tests::volume::Volume;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A manifest of a real checkpoint, from which others are made.
fn real() -> Result<Manifest> {
    let volume = Volume::new()?;
    checkpointed(&Container::new(&volume, "node-a", &SINGLE))?;
    Ok(Manifest::read(&volume.newest("job-0")?, Generation(1), None)?)
}

/// The bytes of a JSON text with some of them replaced, so that most of it is still what a reader expects.
fn almost(json: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    vec((any::<prop::sample::Index>(), any::<u8>()), 0..4).prop_map(move |changes| {
        let mut bytes = json.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9._-]{1,12}(/[a-z0-9-]{1,12}){0,2}".prop_filter("a plain name", |name| !name.starts_with('.'))
}

fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) -> Result<()> {
    // No file of past failures: what failed becomes a test.
    let config = Config { cases: 2000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).map_err(|error| anyhow::anyhow!("{error}"))
}

#[test]
fn a_manifest_is_read_as_it_was_written() -> Result<()> {
    let real = real()?;
    let facts = (any::<u64>(), "[0-9a-f]{64}").prop_map(|(size, blake3)| FileDigest { size, blake3 });
    let parts = (any::<u64>(), btree_map(name(), facts, 0..8), vec("/[a-z]{1,8}", 0..3));
    run(&parts, |(number, files, paths)| {
        let extra_paths = paths.into_iter().map(PathBuf::from).collect();
        let written = Manifest { generation: Generation(number), files, extra_paths, ..real.clone() };
        let json = written.to_json().expect("it is small");
        prop_assert_eq!(Manifest::parse(&json).expect("it is whole"), written);
        Ok(())
    })
}

#[test]
fn no_manifest_leads_out_of_its_generation() -> Result<()> {
    let real = real()?;
    let outside = prop_oneof![
        "(\\.\\./){1,3}[a-z]{1,4}",
        "/[a-z]{1,8}",
        "[a-z]{1,4}/\\.\\./[a-z]{1,4}",
        Just(String::new()),
        Just(".".to_owned())
    ];
    run(&outside, |name| {
        let facts = FileDigest { size: 0, blake3: String::new() };
        let files = BTreeMap::from([(name.clone(), facts)]);
        let json = Manifest { files, ..real.clone() }.to_json().expect("it is small");
        prop_assert!(Manifest::parse(&json).is_err(), "{} is accepted", name);
        Ok(())
    })
}

#[test]
fn a_damaged_manifest_is_refused_or_has_still_plain_names() -> Result<()> {
    run(&almost(real()?.to_json()?), |bytes| {
        if let Ok(manifest) = Manifest::parse(&bytes) {
            let plain = |name: &String| !name.starts_with('/') && !name.split('/').any(|part| part == "..");
            prop_assert!(manifest.files.keys().all(plain));
        }
        Ok(())
    })
}

#[test]
fn no_byte_of_a_signed_manifest_can_be_changed() -> Result<()> {
    let json = real()?.to_json()?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), [b'k'; 32])?;
    let keys = Keys::read(file.path(), &[])?;
    let signature = keys.sign(&json);
    run(&(any::<prop::sample::Index>(), 1_u8..), |(place, difference)| {
        let mut altered = json.clone();
        altered[place.index(json.len())] ^= difference;
        prop_assert!(keys.verify(signature.as_bytes(), &altered).is_err());
        Ok(())
    })
}

#[test]
fn a_claim_is_read_as_it_was_written() -> Result<()> {
    let attempt = (".*", any::<Option<String>>(), any::<u64>(), any::<Option<String>>(), any::<bool>());
    let attempt = attempt.prop_map(|(host, node, at, outcome, interrupted)| Attempt {
        host,
        node,
        at,
        outcome,
        interrupted,
        settled: !interrupted && at % 2 == 0,
    });
    run(&vec(attempt, 0..5), |attempts| {
        let written = Attempts { attempts };
        let json = serde_json::to_vec(&written).expect("it has string keys");
        prop_assert_eq!(Attempts::parse(&json).expect("it is whole"), written);
        Ok(())
    })
}

#[test]
fn no_bytes_make_a_reader_panic() -> Result<()> {
    let holder = Holder { pod: Pod::here(None), nonce: "n".to_owned(), since: 1, expiry_ms: 1 };
    let account = Attempts {
        attempts: vec![Attempt {
            host: "h".into(),
            node: None,
            at: 1,
            outcome: None,
            interrupted: false,
            settled: false,
        }],
    };
    let jsons = [
        serde_json::to_vec(&holder)?,
        serde_json::to_vec(&account)?,
        serde_json::to_vec(&EndMark { newest: Generation(3), why: "?".to_owned() })?,
    ];
    let [holder, account, ended] = jsons.map(almost);
    run(&prop_oneof![vec(any::<u8>(), 0..512), holder, account, ended], |bytes| {
        let _ =
            (holder::parse(&bytes), Attempts::parse(&bytes), EndMark::parse(&bytes), images::split(&bytes));
        Ok(())
    })
}

#[test]
fn an_image_cut_anywhere_is_refused_or_shorter() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&Container::new(&volume, "node-a", &SINGLE))?;
    let path = volume.newest("job-0")?.join("criu/files.img");
    let whole = std::fs::read(&path).context("no files.img")?;
    let records = images::split(&whole).map_err(anyhow::Error::msg)?.len();
    for length in 0..whole.len() {
        if let Ok(some) = images::split(&whole[..length]) {
            anyhow::ensure!(some.len() < records, "{length} bytes have all records");
        }
    }
    Ok(())
}
