//! What it costs to store a stream in chunks and to give it again, without a container: `cargo run --release --package crik-store --example
//! chunk_speed -- [MEGABYTES]`. The stream comes from another process by a pipe and goes to another, as pages do from and to CRIU; the
//! packs are files in memory, or of a volume that takes 150 MB/s.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, PipeReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crik_store::backend::Name;
use crik_store::backend::directory::Directory;
use crik_store::backend::large::{Sink, Source};
use crik_store::base::headway::Headway;
use crik_store::chunks::codec::{Codec, Coder};
use crik_store::chunks::index::Index;
use crik_store::chunks::name::NameKey;
use crik_store::chunks::pack::{PackName, PackPlace};
use crik_store::chunks::place::PackFiles;
use crik_store::chunks::read::{ChunkReader, Ciphers};
use crik_store::chunks::sweep::Known;
use crik_store::chunks::write::{ChunkWriter, Stored, Storing};
use nix::fcntl::{FcntlArg, fcntl};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Of files in memory.
const MEMORY: &str = "/dev/shm";
const SLOW: u64 = 150_000_000;
/// As CRIU's pipes are, and so much is read of one at once.
const PIPE_BYTES: i32 = 1 << 20;
/// As large as a chunk is in the mean.
const CHUNK: usize = 32 << 10;

fn main() -> Outcome<()> {
    let megabytes = std::env::args().nth(1).map_or(Ok(512), |word| word.parse())?;
    println!("{:<36} {:>8} {:>12} {:>12} {:>9}", "", "MB/s", "CPU s per GB", "faults per GB", "kept");
    for (name, page) in [("arrays", arrays as fn(u64) -> Vec<u8>), ("random", random)] {
        let bytes: Vec<u8> = (0..megabytes).flat_map(page).collect();
        steps(name, &bytes[..64 << 20])?;
        for volume in [None, Some(SLOW)] {
            there_and_back(name, &bytes, volume)?;
        }
    }
    Ok(())
}

/// What the parts take, each on one processor.
fn steps(name: &str, bytes: &[u8]) -> Outcome<()> {
    let (key, mut coder, mut to) = (NameKey::new([1; 32]), Coder::new()?, vec![0; CHUNK]);
    let step = |what: &str, once: &mut dyn FnMut(&[u8]) -> usize| {
        let before = Used::now()?;
        let kept: usize = bytes.chunks(CHUNK).map(once).sum();
        before.tell(&format!("{name}: {what}"), bytes.len(), kept)
    };
    step("copy", &mut |chunk| {
        to[..chunk.len()].copy_from_slice(std::hint::black_box(chunk));
        chunk.len()
    })?;
    step("name", &mut |chunk| usize::from(key.name(chunk).as_bytes()[0]))?;
    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut kept = Vec::new();
        step(&format!("{codec}"), &mut |chunk| {
            let (codec, smaller) = coder.encode(codec, chunk);
            kept.push((codec, smaller.to_vec()));
            smaller.len()
        })?;
        let mut all = kept.iter();
        let mut coder = Coder::new()?;
        step(&format!("{codec}, back"), &mut |chunk| {
            let Some((codec, smaller)) = all.next() else { return 0 };
            coder.decode(*codec, smaller, &mut to[..chunk.len()]).map_or(0, |()| smaller.len())
        })?;
    }
    Ok(())
}

fn there_and_back(name: &str, bytes: &[u8], volume: Option<u64>) -> Outcome<()> {
    let directory = tempfile::tempdir_in(MEMORY)?;
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    fs::write(&first, bytes)?;
    fs::write(&second, changed(bytes))?;
    let place = || Arc::new(Volume::new(directory.path(), volume));
    let what = volume.map_or_else(String::new, |volume| format!(" at {} MB/s", volume / 1_000_000));
    let tell = |step: &str, used: &Used, kept: u64| {
        used.tell(&format!("{name}{what}: {step}"), bytes.len(), kept as usize)
    };
    let before = Used::now()?;
    let stored = store(place(), &first, &[])?;
    tell(&format!("store ({})", stored.codec), &before, stored.new_bytes)?;
    let before = Used::now()?;
    let again = store(place(), &second, std::slice::from_ref(&stored.index))?;
    tell("store, a tenth changed", &before, again.new_bytes)?;
    let before = Used::now()?;
    give(place(), stored.index)?;
    tell("give", &before, stored.new_bytes)
}

fn store(place: Arc<Volume>, from: &Path, known: &[Index]) -> Outcome<Stored> {
    let (names, known, volume) =
        (NameKey::new([1; 32]), Known::of(known), place.speed.map(|speed| speed as f64));
    let headway = Arc::<Headway>::default();
    let writer = ChunkWriter::begin(Storing { place, names, known, seal: None, volume, headway })?;
    let mut stream = writer.stream("pages")?;
    let (mut pages, mut child) = program(Command::new("cat").arg(from))?;
    let mut part = vec![0; PIPE_BYTES as usize];
    loop {
        match pages.read(&mut part)? {
            0 => break,
            count => stream.write_all(&part[..count])?,
        }
    }
    stream.finish()?;
    child.wait()?;
    Ok(writer.finish()?)
}

/// A program that writes to a pipe.
fn program(command: &mut Command) -> Outcome<(PipeReader, Child)> {
    let (reader, writer) = io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES))?;
    Ok((reader, command.stdout(writer).spawn()?))
}

fn give(place: Arc<Volume>, index: Index) -> Outcome<()> {
    let reader = ChunkReader::new(index, place, (NameKey::new([1; 32]), Ciphers::new()), Arc::default());
    let (from, mut to) = io::pipe()?;
    fcntl(&to, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES))?;
    let script = "import os\nwhile os.readv(0, [b]): pass";
    let script = format!("b = bytearray({PIPE_BYTES})\n{script}");
    let mut taker = Command::new("python3").args(["-c", &script]).stdin(from).spawn()?;
    reader.copy("pages", &mut to)?;
    drop(to);
    taker.wait()?;
    Ok(())
}

/// As a simulation leaves them: of each five KiB two have values of their own.
fn arrays(number: u64) -> Vec<u8> {
    let mut noise = Noise(number);
    let cells = (0..(1_u64 << 20) / 8).map(|cell| match cell % 640 {
        0..256 => noise.next() >> 8 | 0x4072 << 48,
        _ => 0x4072_5199_9999_999a,
    });
    cells.flat_map(u64::to_le_bytes).collect()
}

fn random(number: u64) -> Vec<u8> {
    let mut noise = Noise(number);
    (0..(1_u64 << 20) / 8).flat_map(|_| noise.next().to_le_bytes()).collect()
}

/// SplitMix64.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15 ^ self.0 << 32);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }
}

/// A tenth is another.
fn changed(bytes: &[u8]) -> Vec<u8> {
    let part = |(number, part): (usize, &[u8])| {
        if number % 10 == 3 {
            random(number as u64 + (1 << 40))[..part.len()].to_vec()
        } else {
            part.to_vec()
        }
    };
    bytes.chunks(1 << 20).enumerate().flat_map(part).collect()
}

/// Files in memory that take so many bytes a second.
struct Volume {
    packs: PackFiles,
    speed: Option<u64>,
}

impl Volume {
    fn new(directory: &Path, speed: Option<u64>) -> Self {
        let backend = Arc::new(Directory::new(directory));
        let packs = PackFiles { backend, fresh: Some(Name::root()), shared: Name::root() };
        Self { packs, speed }
    }
}

impl PackPlace for Volume {
    fn create(&self, name: PackName) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(Measured {
            sink: self.packs.create(name)?,
            speed: self.speed,
            began: Instant::now(),
            bytes: 0,
        }))
    }

    fn open(&self, name: PackName) -> io::Result<Box<dyn Source>> {
        self.packs.open(name)
    }
}

struct Measured {
    sink: Box<dyn Sink>,
    speed: Option<u64>,
    began: Instant,
    bytes: u64,
}

impl Sink for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write(bytes)?;
        self.bytes += bytes.len() as u64;
        if let Some(speed) = self.speed {
            let due = self.began + Duration::from_secs_f64(self.bytes as f64 / speed as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sink.finish()
    }
}

/// What this process has used so far (proc_pid_stat(5)).
struct Used {
    at: Instant,
    ticks: f64,
    faults: f64,
}

impl Used {
    fn now() -> Outcome<Self> {
        let mut stat = String::new();
        File::open("/proc/self/stat")?.read_to_string(&mut stat)?;
        let fields: Vec<f64> = stat.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
        Ok(Self { at: Instant::now(), ticks: fields[13] + fields[14], faults: fields[9] })
    }

    fn tell(&self, what: &str, bytes: usize, kept: usize) -> Outcome<()> {
        let (now, bytes) = (Self::now()?, bytes as f64);
        let speed = bytes / 1e6 / (now.at - self.at).as_secs_f64();
        let (processor, faults) =
            ((now.ticks - self.ticks) / 100.0 / bytes * 1e9, (now.faults - self.faults) / bytes * 1e9);
        println!("{what:<36} {speed:>8.0} {processor:>12.2} {faults:>12.0} {:>9.3}", kept as f64 / bytes);
        Ok(())
    }
}
