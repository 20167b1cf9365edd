use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use super::*;
use crate::generation::commit::commit;
use crate::generation::fixture::manifest;
use crate::generation::parts::{NewParts, Parts};
use crate::generation::verify_whole::whole;
use crate::image_dir::fixture;
use crate::image_dir::hold::Hold;
use crate::image_dir::staging::Purpose;

/// What no file of a volume may have in it when it is encrypted.
const SECRET: &[u8] = b"the program's own secret";

fn encrypted(secrets: &[&str]) -> GenerationKeys {
    let lines: Vec<String> = secrets.iter().map(|secret| secret.repeat(40)).collect();
    let keys = EncryptionKeys::parse(lines.join("\n").as_bytes()).unwrap();
    GenerationKeys { signing: None, encryption: Some(Arc::new(keys)) }
}

/// Pages that nothing makes smaller, and the secret in each.
fn pages(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let page = |number: u32| {
        let mut page: Vec<u8> = (0..128_u32)
            .flat_map(|part| *blake3::hash(&[number, part].map(u32::to_le_bytes).concat()).as_bytes())
            .collect();
        page[..SECRET.len()].copy_from_slice(SECRET);
        page
    };
    numbers.flat_map(page).collect()
}

/// Stores these pages for a checkpoint that is to come.
fn warm(hold: &Arc<Hold>, keys: &GenerationKeys, before: &Proven, pages: &[u8]) -> Arc<Warmed> {
    let staging = Staging::new(hold, Purpose::WarmUp);
    staging.make().unwrap();
    let streams = StreamsWriter::begin(&staging, (keys, before), None, &Arc::default()).unwrap();
    let mut stream = streams.stream("warm").unwrap();
    stream.write_all(pages).unwrap();
    stream.finish().unwrap();
    Arc::new(streams.warm(&staging).unwrap())
}

/// Only what was stored by these is known to be well.
fn only(warmed: &[&Arc<Warmed>]) -> Proven {
    Proven { warmed: warmed.iter().map(|one| Arc::clone(one)).collect(), ..Proven::default() }
}

fn packs(hold: &Hold) -> usize {
    fs::read_dir(hold.dir().path_of(&ImageDir::packs())).map_or(0, Iterator::count)
}

/// Commits a generation with these two parts, when all that there is is known to be well.
fn take(hold: &Arc<Hold>, keys: &GenerationKeys, pages: &[u8]) -> (Generation, StreamFacts) {
    take_after(hold, (keys, &Proven { own: Some(Generation(0)), ..Proven::default() }), pages)
}

fn take_after(
    hold: &Arc<Hold>,
    (keys, proven): (&GenerationKeys, &Proven),
    pages: &[u8],
) -> (Generation, StreamFacts) {
    let generation = hold.dir().next().unwrap();
    let staging = Staging::new(hold, Purpose::Stop);
    let path = staging.make().unwrap();
    let streams = Arc::new(StreamsWriter::begin(&staging, (keys, proven), None, &Arc::default()).unwrap());
    let parts = NewParts::new(path, Some(Arc::clone(&streams)));
    for (name, bytes) in [("criu/pages-1.img", pages), ("carried.json", SECRET)] {
        let mut part = parts.create(name).unwrap();
        part.write_all(bytes).unwrap();
        part.finish().unwrap();
    }
    let manifest = manifest(generation, hold.dir().root());
    let committed = commit(&staging, (manifest, Some(streams)), None, &Headway::default()).unwrap();
    (generation, committed.streams.unwrap())
}

fn open(hold: &Hold, keys: &GenerationKeys, generation: Generation) -> Result<Parts, VerifyError> {
    let (dir, path) = (hold.dir(), hold.dir().bring(generation).unwrap());
    let manifest = Manifest::read(&path, generation, None)?;
    let keys = (keys.encryption.as_deref(), &Arc::default());
    Ok(Parts::new(&path, reader(&path, dir, &manifest, keys)?))
}

fn read(hold: &Hold, keys: &GenerationKeys, generation: Generation) -> Vec<u8> {
    let mut bytes = Vec::new();
    open(hold, keys, generation).unwrap().open("criu/pages-1.img").unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// All that is in files below a directory.
fn all_bytes(directory: &Path) -> Vec<u8> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_bytes(&path) } else { fs::read(path).unwrap() }).collect()
}

fn tells(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

#[test]
fn a_later_generation_has_what_it_shares_also_when_the_earlier_one_is_gone() {
    for keys in [GenerationKeys::default(), encrypted(&["a"])] {
        let (_volume, hold) = fixture::held();
        let (first, facts) = take(&hold, &keys, &pages(0..100));
        assert!(facts.new_bytes >= 100 * 4096, "{facts:?}");
        let (second, facts) = take(&hold, &keys, &pages(0..110));
        // The chunk that grew and the new ones.
        assert!(facts.new_bytes < 50 * 4096 && facts.kept_bytes > 100 * 4096, "{facts:?}");
        hold.remove(first).unwrap();
        assert_eq!(read(&hold, &keys, second), pages(0..110));
        let (dir, path) = (hold.dir(), hold.dir().bring(second).unwrap());
        let manifest = Manifest::read(&path, second, None).unwrap();
        whole(&path, dir, (&manifest, keys.encryption.as_deref()), &|_| {}).unwrap();
        hold.remove(second).unwrap();
        assert!(dir.backend().list(&ImageDir::packs()).unwrap().is_empty());
    }
}

#[test]
fn what_was_warmed_is_not_written_again_and_is_whole_without_what_warmed_it() {
    for keys in [GenerationKeys::default(), encrypted(&["a"])] {
        let (_volume, hold) = fixture::held();
        let first = warm(&hold, &keys, &only(&[]), &pages(0..600));
        let second = warm(&hold, &keys, &only(&[&first]), &pages(500..1000));
        assert!(first.new_bytes >= 600 * 4096 && second.new_bytes < 440 * 4096, "{}", second.new_bytes);
        let memory = [pages(0..500), pages(2000..2010), pages(500..1000)].concat();
        let (generation, facts) = take_after(&hold, (&keys, &only(&[&first, &second])), &memory);
        assert!(facts.new_bytes < 140 * 4096 && facts.kept_bytes > 1000 * 4096, "{facts:?}");
        drop((first, second));
        hold.sweep_packs().unwrap();
        assert_eq!(read(&hold, &keys, generation), memory);
    }
}

#[test]
fn no_sweep_takes_what_was_warmed_before_it_is_given_up() {
    let (_volume, hold) = fixture::held();
    let warmed = warm(&hold, &GenerationKeys::default(), &only(&[]), &pages(0..100));
    hold.sweep_packs().unwrap();
    assert_eq!(packs(&hold), 1);
    drop(warmed);
    hold.sweep_packs().unwrap();
    assert_eq!(packs(&hold), 0);
}

#[test]
fn what_is_warmed_in_another_way_is_stored_again() {
    let (_volume, hold) = fixture::held();
    let keys = encrypted(&["a"]);
    let warmed = warm(&hold, &GenerationKeys::default(), &only(&[]), &pages(0..100));
    let (generation, facts) = take_after(&hold, (&keys, &only(&[&warmed])), &pages(0..100));
    assert!(facts.new_bytes >= 100 * 4096, "{facts:?}");
    assert_eq!(read(&hold, &keys, generation), pages(0..100));
}

#[test]
fn what_is_warmed_is_named_as_what_the_generations_have() {
    let (_volume, hold) = fixture::held();
    let keys = GenerationKeys::default();
    take(&hold, &keys, &pages(0..300));
    let all = Proven { own: Some(Generation(0)), ..Proven::default() };
    let warmed = warm(&hold, &keys, &all, &pages(0..400));
    assert!(warmed.new_bytes < 160 * 4096, "{}", warmed.new_bytes);
    let facts = take_after(&hold, (&keys, &Proven { warmed: vec![warmed], ..all }), &pages(0..400)).1;
    assert!(facts.new_bytes < 10 * 4096, "{facts:?}");
}

#[test]
fn a_part_is_read_from_any_place() {
    let (_volume, hold) = fixture::held();
    let keys = GenerationKeys::default();
    let mut all = pages(0..20);
    all.extend([0; 9 * 4096]);
    all.extend(pages(30..33));
    let (generation, _) = take(&hold, &keys, &all);
    let mut part = open(&hold, &keys, generation).unwrap().open("criu/pages-1.img").unwrap();
    assert_eq!(part.size().unwrap(), all.len() as u64);
    for at in [0, 5000, 20 * 4096 - 3, 25 * 4096, 28 * 4096 + 4000, all.len() - 1, 1] {
        let mut bytes = vec![1; 9000.min(all.len() - at)];
        part.seek(SeekFrom::Start(at as u64)).unwrap();
        part.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, all[at..at + bytes.len()], "{at}");
    }
    assert_eq!(part.seek(SeekFrom::End(0)).unwrap(), all.len() as u64);
    assert_eq!(part.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_is_encrypted_stands_nowhere_and_only_its_key_reads_it() {
    let (volume, hold) = fixture::held();
    let keys = encrypted(&["a"]);
    let (generation, _) = take(&hold, &keys, &pages(0..50));
    assert!(!tells(&all_bytes(volume.path())));
    assert_eq!(read(&hold, &keys, generation), pages(0..50));
    let error = |keys| open(&hold, &keys, generation).err().unwrap().to_string();
    assert_eq!(
        error(GenerationKeys::default()),
        "it is encrypted, and there is no encryptionKeyFile with the key to it"
    );
    assert!(error(encrypted(&["b"])).contains("after a rotation keep the old key there"));
    // And without encryption it would stand there.
    take(&hold, &GenerationKeys::default(), &pages(0..50));
    assert!(tells(&all_bytes(volume.path())));
}

#[test]
fn a_key_is_rotated_without_what_is_there_being_written_again() {
    let (_volume, hold) = fixture::held();
    let [old, both, new] = [&["a"][..], &["b", "a"], &["b"]].map(encrypted);
    let (first, _) = take(&hold, &old, &pages(0..100));
    let (second, facts) = take(&hold, &both, &pages(0..100));
    assert_eq!(facts.new_bytes, 0);
    hold.remove(first).unwrap();
    assert_eq!(read(&hold, &new, second), pages(0..100));
}

#[test]
fn what_is_encrypted_has_nothing_of_what_is_not_nor_the_other_way() {
    let (_volume, hold) = fixture::held();
    let (plain, keys) = (GenerationKeys::default(), encrypted(&["a"]));
    for keys in [&plain, &keys, &plain] {
        let newest = hold.dir().list().unwrap().first().copied();
        let (generation, facts) = take(&hold, keys, &pages(0..60));
        if newest.is_none_or(|newest| newest.0 < 2) {
            assert!(facts.new_bytes >= 60 * 4096, "generation {generation}: {facts:?}");
        }
        assert_eq!(read(&hold, keys, generation), pages(0..60));
    }
}

#[test]
fn an_index_or_a_pack_of_somebody_else_is_refused() {
    let (_volume, hold) = fixture::held();
    let keys = encrypted(&["a"]);
    let (first, _) = take(&hold, &keys, &pages(0..60));
    let (second, _) = take(&hold, &keys, &pages(100..160));
    let index = |generation| hold.dir().generation(generation).join(layout::INDEX);
    let own = fs::read(index(second)).unwrap();
    fs::copy(index(first), index(second)).unwrap();
    assert!(matches!(open(&hold, &keys, second), Err(VerifyError::Altered { .. })));
    fs::write(index(second), own).unwrap();
    let packs: Vec<PathBuf> = fs::read_dir(hold.dir().path_of(&ImageDir::packs()))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [one, other] = &packs[..] else { panic!("{packs:?}") };
    let bytes = [one, other].map(|path| fs::read(path).unwrap());
    fs::write(one, &bytes[1]).unwrap();
    fs::write(other, &bytes[0]).unwrap();
    let mut part = open(&hold, &keys, second).unwrap().open("criu/pages-1.img").unwrap();
    let error = part.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("was altered after the commit"), "{error}");
}

#[test]
fn a_pack_that_is_gone_or_short_is_not_relied_upon() {
    let (_volume, hold) = fixture::held();
    let keys = GenerationKeys::default();
    take(&hold, &keys, &pages(0..60));
    let pack = fs::read_dir(hold.dir().path_of(&ImageDir::packs())).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&pack).unwrap();
    fs::write(&pack, &bytes[1..]).unwrap();
    let (generation, facts) = take(&hold, &keys, &pages(0..60));
    assert!(facts.new_bytes >= 60 * 4096, "{facts:?}");
    assert_eq!(read(&hold, &keys, generation), pages(0..60));
}

#[test]
fn what_nobody_has_compared_is_stored_again() {
    let (_volume, hold) = fixture::held();
    let keys = GenerationKeys::default();
    let (first, _) = take(&hold, &keys, &pages(0..40));
    let all = take_after(&hold, (&keys, &Proven::default()), &pages(0..40)).1.new_bytes;
    assert!(all > 40 * 4096, "{all}");
    let resumed = Proven { resumed: Some(first), ..Proven::default() };
    let new = take_after(&hold, (&keys, &resumed), &pages(0..40)).1.new_bytes;
    assert_eq!(new, 0);
}

#[test]
fn secrets_that_generations_share_are_kept_once() {
    let (_volume, hold) = fixture::held();
    let keys = encrypted(&["k"]);
    for generation in 0..12_u32 {
        let (_, facts) = take(&hold, &keys, &pages(generation..generation + 30));
        assert!(facts.secrets.len() <= 1 + generation as usize, "{generation}: {}", facts.secrets.len());
    }
}

#[test]
fn what_was_sealed_for_another_image_directory_is_stored_again() {
    let volume = tempfile::tempdir().unwrap();
    let (before, after, keys) =
        (volume.path().join("before"), volume.path().join("after"), encrypted(&["k"]));
    let held = |at: &Path, pod: &str| Hold::take(&ImageDir::open(at).unwrap(), &fixture::wish(pod)).unwrap();
    take(&held(&before, "job-0"), &keys, &pages(0..40));
    fs::rename(&before, &after).unwrap();
    // The same pod goes on, so that it has the hold.
    let hold = held(&after, "job-0");
    let (generation, _) = take(&hold, &keys, &pages(0..40));
    assert_eq!(read(&hold, &keys, generation), pages(0..40));
}

#[test]
fn what_a_path_has_too_much_makes_no_other_place_of_it() {
    assert_eq!(secrets::place_of(Path::new("/c//job/")), secrets::place_of(Path::new("/c/job")));
    assert_ne!(secrets::place_of(Path::new("/c/job")), secrets::place_of(Path::new("/d/job")));
}
