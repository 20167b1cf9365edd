//! Streams go in, and the same come out, whatever happens in between.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use crate::backend::large::{Sink, Source};
use crate::base::headway::Headway;
use crate::base::limits::{BATCH_BYTES, BATCHES_WAITING, PAGE_BYTES};
use crate::base::panics::locked;
use crate::chunks::index::Index;
use crate::chunks::name::NameKey;
use crate::chunks::pack::{PackName, PackPlace};
use crate::chunks::read::{ChunkReader, Ciphers, ReadError};
use crate::chunks::sweep::{Known, needless};
use crate::chunks::write::{ChunkWriter, Stored, Storing};

type Packs = Arc<Mutex<BTreeMap<PackName, Vec<u8>>>>;

/// Packs in memory, of which the step of this number fails.
#[derive(Clone, Default)]
struct InMemory {
    packs: Packs,
    steps: Arc<AtomicUsize>,
    fails_at: Option<usize>,
    pause: Duration,
}

impl InMemory {
    fn step(&self) -> io::Result<()> {
        thread::sleep(self.pause);
        let number = self.steps.fetch_add(1, Ordering::Relaxed);
        if Some(number) == self.fails_at { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    fn bytes(&self) -> usize {
        locked(&self.packs).values().map(Vec::len).sum()
    }
}

impl PackPlace for InMemory {
    fn create(&self, name: PackName) -> io::Result<Box<dyn Sink>> {
        self.step()?;
        Ok(Box::new(Written { place: self.clone(), name, bytes: Vec::new() }))
    }

    fn open(&self, name: PackName) -> io::Result<Box<dyn Source>> {
        let found = locked(&self.packs).get(&name).cloned();
        Ok(Box::new(Opened(found.ok_or(io::ErrorKind::NotFound)?)))
    }
}

struct Written {
    place: InMemory,
    name: PackName,
    bytes: Vec<u8>,
}

impl Sink for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.place.step()?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.place.step()?;
        locked(&self.place.packs).insert(self.name, self.bytes);
        Ok(())
    }
}

struct Opened(Vec<u8>);

impl Source for Opened {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let found = self.0.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

type Streams = BTreeMap<String, Vec<u8>>;

fn names() -> NameKey {
    NameKey::new([3; 32])
}

fn begin(place: &InMemory, known: &[Index], headway: &Arc<Headway>) -> ChunkWriter {
    let (place, known, headway) = (Arc::new(place.clone()), Known::of(known), Arc::clone(headway));
    ChunkWriter::begin(Storing { place, names: names(), known, seal: None, volume: None, headway }).unwrap()
}

/// Stores all streams at the same time.
fn store(place: &InMemory, streams: &Streams, known: &[Index]) -> io::Result<Stored> {
    let writer = begin(place, known, &Arc::default());
    let outcome: io::Result<()> = thread::scope(|scope| {
        let one = |(name, bytes): (&String, &Vec<u8>)| {
            let (mut stream, bytes) = (writer.stream(name).unwrap(), bytes.clone());
            scope.spawn(move || {
                bytes
                    .chunks(70_000)
                    .try_for_each(|part| stream.write_all(part))
                    .and_then(|()| stream.finish())
            })
        };
        let all: Vec<_> = streams.iter().map(one).collect();
        all.into_iter().try_for_each(|stream| stream.join().unwrap())
    });
    // The first of the errors is the volume's.
    let stored = writer.finish();
    outcome.and(stored)
}

fn read_one(place: &InMemory, index: &Index, name: &str) -> Result<Vec<u8>, ReadError> {
    let reader =
        ChunkReader::new(index.clone(), Arc::new(place.clone()), (names(), Ciphers::new()), Arc::default());
    let mut bytes = Vec::new();
    let count = reader.copy(name, &mut bytes)?;
    assert_eq!(count, bytes.len() as u64);
    Ok(bytes)
}

fn read(place: &InMemory, index: &Index) -> Result<Streams, ReadError> {
    let one = |stream: &crate::chunks::index::Stream| {
        Ok((stream.name.clone(), read_one(place, index, &stream.name)?))
    };
    index.streams.iter().map(one).collect()
}

/// Pages of this kind: many alike, many empty, some that nothing makes smaller.
fn page(kind: u8, number: u64) -> Vec<u8> {
    match kind {
        0 => vec![0; PAGE_BYTES],
        1 => number.to_le_bytes().repeat(PAGE_BYTES / 8),
        _ => (0..PAGE_BYTES as u64 / 32)
            .flat_map(|part| *blake3::hash(&[number, part].map(u64::to_le_bytes).concat()).as_bytes())
            .collect(),
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let run = (0..3_u8, 0..20_u64, 1..30_usize);
    (prop::collection::vec(run, 0..20), 0..PAGE_BYTES).prop_map(|(runs, rest)| {
        let pages = runs.into_iter().flat_map(|(kind, number, times)| {
            (0..times as u64).flat_map(move |n| page(kind, number + n % 3))
        });
        pages.chain(std::iter::repeat_n(7, rest)).collect()
    })
}

fn streams() -> impl Strategy<Value = Streams> {
    prop::collection::btree_map("criu/[a-c]{1,2}", stream(), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn streams_come_out_as_they_went_in(streams in streams()) {
        let place = InMemory::default();
        let stored = store(&place, &streams, &[]).unwrap();
        prop_assert_eq!(&read(&place, &stored.index).unwrap(), &streams);
        prop_assert_eq!(stored.new_bytes, place.bytes() as u64);
        let again = Index::decode(&stored.index.encode().unwrap()).unwrap();
        prop_assert_eq!(&again, &stored.index);
    }

    #[test]
    fn what_is_there_already_is_not_stored_again(streams in streams(), more in stream()) {
        let place = InMemory::default();
        let first = store(&place, &streams, &[]).unwrap();
        let again = store(&place, &streams, std::slice::from_ref(&first.index)).unwrap();
        prop_assert_eq!(again.new_bytes, 0);
        prop_assert_eq!(read(&place, &again.index).unwrap(), streams.clone());
        let mut other = streams;
        other.insert("more".to_owned(), more.clone());
        let third = store(&place, &other, &[first.index, again.index]).unwrap();
        prop_assert!(third.new_bytes <= more.len() as u64);
        prop_assert_eq!(read(&place, &third.index).unwrap(), other);
    }

    #[test]
    fn an_altered_byte_is_found_or_was_needed_by_nobody(streams in streams(), pack: prop::sample::Index, at: prop::sample::Index, flip in 1..=255_u8) {
        let place = InMemory::default();
        let stored = store(&place, &streams, &[]).unwrap();
        {
            let mut packs = locked(&place.packs);
            let count = packs.len();
            prop_assume!(count > 0);
            let bytes = packs.values_mut().nth(pack.index(count)).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        for (name, bytes) in &streams {
            match read_one(&place, &stored.index, name) {
                Ok(read) => prop_assert_eq!(&read, bytes),
                Err(error) => prop_assert!(matches!(error, ReadError::Altered { .. }), "{}", error),
            }
        }
    }

    #[test]
    fn any_history_leaves_each_committed_checkpoint_whole(
        history in prop::collection::vec((streams(), 0..4_u8, prop::option::of(0..12_usize)), 1..7),
    ) {
        let place = InMemory::default();
        let mut committed: Vec<(Index, Streams)> = Vec::new();
        for (streams, then, fails_at) in history {
            let known: Vec<Index> = committed.iter().map(|(index, _)| index.clone()).collect();
            // One that fails is never committed, and what it has left behind is of no use to anybody.
            let tried = InMemory { fails_at, steps: Arc::default(), ..place.clone() };
            if let Ok(stored) = store(&tried, &streams, &known) {
                committed.push((stored.index, streams));
            }
            if then == 1 && !committed.is_empty() {
                committed.remove(0);
            }
            if then >= 2 {
                sweep(&place, &committed);
            }
            for (index, streams) in &committed {
                prop_assert_eq!(&read(&place, index).unwrap(), streams);
            }
        }
        committed.clear();
        sweep(&place, &committed);
        prop_assert_eq!(place.bytes(), 0);
    }

    #[test]
    fn a_volume_that_fails_at_any_step_is_told_and_nobody_waits_for_ever(streams in streams(), fails_at in 0..6_usize) {
        let place = InMemory { fails_at: Some(fails_at), ..InMemory::default() };
        match store(&place, &streams, &[]) {
            Ok(_) => prop_assert!(place.steps.load(Ordering::Relaxed) <= fails_at),
            Err(error) => prop_assert_eq!(error.raw_os_error(), Some(libc::ENOSPC)),
        }
    }
}

fn sweep(place: &InMemory, committed: &[(Index, Streams)]) {
    let indexes: Vec<Index> = committed.iter().map(|(index, _)| index.clone()).collect();
    let mut packs = locked(&place.packs);
    let there: Vec<PackName> = packs.keys().copied().collect();
    needless(&there, &indexes).iter().for_each(|name| drop(packs.remove(name)));
}

fn random(bytes: usize) -> Vec<u8> {
    (0..(bytes / PAGE_BYTES) as u64).flat_map(|number| page(2, number)).collect()
}

#[test]
fn zeros_and_what_is_there_twice_take_no_room() {
    let place = InMemory::default();
    let (zeros, twice) = (vec![0; 8 << 20], random(1 << 20));
    let streams: Streams = [("zeros", zeros), ("one", twice.clone()), ("two", twice)]
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .into();
    let stored = store(&place, &streams, &[]).unwrap();
    assert!(place.bytes() <= 1 << 20, "{}", place.bytes());
    assert_eq!(read(&place, &stored.index).unwrap(), streams);
}

#[test]
fn what_is_slow_is_waited_for_and_memory_stays_bounded() {
    let place = InMemory { pause: Duration::from_secs(3600), ..InMemory::default() };
    let headway = Arc::<Headway>::default();
    let writer = begin(&place, &[], &headway);
    let mut stream = writer.stream("pages").unwrap();
    let fed = thread::spawn(move || {
        let mut pages = (0..).map(|number| page(2, number));
        pages.by_ref().take_while(|page| stream.write_all(page).is_ok()).count() * PAGE_BYTES
    });
    // Until nothing more is taken.
    let mut before = (headway.moved(), 0);
    while before.1 < 20 {
        thread::sleep(Duration::from_millis(10));
        before = if headway.moved() == before.0 { (before.0, before.1 + 1) } else { (headway.moved(), 0) };
    }
    headway.give_up();
    let accepted = fed.join().unwrap();
    let processors = thread::available_parallelism().unwrap().get();
    let most = (2 * BATCHES_WAITING + 3 * processors + 3) * (BATCH_BYTES + (128 << 10));
    assert!(accepted <= most, "{accepted} of {most}");
}

#[test]
fn a_stream_that_was_cut_off_is_no_checkpoint() {
    let place = InMemory::default();
    let writer = begin(&place, &[], &Arc::default());
    let mut stream = writer.stream("criu/pages-1.img").unwrap();
    stream.write_all(&random(1 << 20)).unwrap();
    drop(stream);
    assert_eq!(writer.finish().unwrap_err().to_string(), "criu/pages-1.img was cut off");
}

#[test]
fn what_is_left_before_its_end_is_no_pack() {
    let place = InMemory::default();
    let writer = begin(&place, &[], &Arc::default());
    let mut stream = writer.stream("pages").unwrap();
    stream.write_all(&random(1 << 20)).unwrap();
    let threads = std::mem::take(&mut *locked(&writer.threads));
    drop((writer, stream));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(place.bytes(), 0);
}

#[test]
fn what_nobody_wants_any_more_ends() {
    let headway = Arc::<Headway>::default();
    let writer = begin(&InMemory::default(), &[], &headway);
    let mut stream = writer.stream("pages").unwrap();
    stream.write_all(&random(1 << 20)).unwrap();
    headway.give_up();
    assert!(stream.write_all(b"more").is_err());
    drop(stream);
    assert!(writer.finish().is_err());
}

#[test]
fn a_taker_that_is_gone_and_a_stream_that_is_not_there_are_told() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let place = InMemory::default();
    let streams: Streams = HashMap::from([("pages".to_owned(), random(20 << 20))]).into_iter().collect();
    let stored = store(&place, &streams, &[]).unwrap();
    let reader = ChunkReader::new(stored.index, Arc::new(place), (names(), Ciphers::new()), Arc::default());
    assert!(matches!(reader.copy("pages", &mut Gone), Err(ReadError::Taker { .. })));
    assert!(matches!(reader.copy("none", &mut Vec::new()), Err(ReadError::Absent(_))));
    assert_eq!((reader.size("pages"), reader.size("none")), (Some(20 << 20), None));
}
