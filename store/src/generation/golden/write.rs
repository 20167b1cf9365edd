//! Writes image directories as this release does.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::content::{FORMS, Form, Parts, manifest, parts};
use super::place::{Hashes, files_of, keys, root};
use crate::base::headway::Headway;
use crate::chunks::codec::Codec;
use crate::generation::commit::commit;
use crate::generation::keys::GenerationKeys;
use crate::generation::manifest::Manifest;
use crate::generation::parts::NewParts;
use crate::generation::streams::{Proven, StreamsWriter};
use crate::image_dir::Generation;
use crate::image_dir::attempts::{AttemptOutcome, OpenAttempt, settle};
use crate::image_dir::fixture::{Place, wish};
use crate::image_dir::hold::Hold;
use crate::image_dir::last_stop::NoCheckpoint;
use crate::image_dir::staging::{Purpose, Staging};
use crate::image_dir::verdict::Verdict;

/// So slow that it is worth while to make things as small as they can be made, in bytes a second.
const VOLUME: f64 = 1000.0;

/// Writes those of this release, where there are none.
pub fn golden() {
    let release = root().join(env!("CARGO_PKG_VERSION"));
    fs::create_dir(&release).expect("what a release has kept is never written anew");
    for form in FORMS {
        let place = new_place(form);
        let (_hold, hashes) = fill(&place, form);
        for (name, bytes) in files_of(&place) {
            let path = release.join(form.name).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut hashes = serde_json::to_vec_pretty(&hashes).unwrap();
        hashes.push(b'\n');
        fs::write(release.join(format!("{}.json", form.name)), hashes).unwrap();
    }
}

/// One in which is nothing.
pub fn new_place(form: Form) -> Place {
    match form.in_a_bucket {
        true => Place::bucket(),
        false => Place::Volume(tempfile::Builder::new().prefix("crik-golden-").tempdir().unwrap()),
    }
}

/// Three generations, and all that can stand beside them: the first was resumed and has ended, the second was cut off, and the third is of a
/// program that has not seen the others. The pod that has made them still holds them.
pub fn fill(place: &Place, form: Form) -> (Arc<Hold>, Hashes) {
    let (hold, keys) = (place.held(), keys(form));
    let mut hashes = Hashes::new();
    let mut take = |codec| {
        let generation = hold.dir().next().unwrap();
        let (parts, manifest) = (parts(generation), take(&hold, (form, &keys), &parts(generation)));
        assert_eq!(manifest.streams.map(|streams| streams.codec), form.in_chunks.then_some(codec));
        let hash = |(name, bytes): (String, Vec<u8>)| (name, blake3::hash(&bytes).to_hex().to_string());
        hashes.insert(generation, parts.into_iter().map(hash).collect());
        generation
    };
    let first = take(Codec::Plain);
    attempted(&hold, first, &AttemptOutcome::Resumed);
    settle(&hold, first).unwrap();
    hold.mark_ended("exit status 0").unwrap();
    let second = take(Codec::Lz4);
    attempted(&hold, second, &AttemptOutcome::Interrupted);
    hold.has_not_seen();
    take(Codec::Zstd);
    hold.note_stop(&wish("job-0").pod, &NoCheckpoint::Failed("it uses io_uring".to_owned())).unwrap();
    hold.keep_verdict(&Verdict::not("no room")).unwrap();
    (hold, hashes)
}

fn attempted(hold: &Arc<Hold>, generation: Generation, outcome: &AttemptOutcome) {
    let pod = wish("job-1").pod;
    OpenAttempt::begin(hold, generation, &pod, 9).unwrap().record(outcome).unwrap();
}

/// Commits a generation of these parts. All that there is is known to be well.
pub fn take(hold: &Arc<Hold>, (form, keys): (Form, &GenerationKeys), parts: &Parts) -> Manifest {
    let (generation, staging) = (hold.dir().next().unwrap(), Staging::new(hold, Purpose::Stop));
    let (path, headway) = (staging.make().unwrap(), Arc::<Headway>::default());
    let proven = Proven { own: Some(Generation(0)), ..Proven::default() };
    let begin = || StreamsWriter::begin(&staging, (keys, &proven), Some(VOLUME), &headway).map(Arc::new);
    let streams = form.in_chunks.then(begin).transpose().unwrap();
    write_parts(path, streams.clone(), parts);
    let manifest = manifest(hold.dir(), generation);
    commit(&staging, (manifest, streams), keys.signing.as_ref(), &headway).unwrap()
}

fn write_parts(path: &Path, streams: Option<Arc<StreamsWriter>>, parts: &Parts) {
    let to = NewParts::new(path, streams);
    for (name, bytes) in parts {
        let mut part = to.create(name).unwrap();
        part.write_all(bytes).unwrap();
        part.finish().unwrap();
    }
}
