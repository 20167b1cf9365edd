//! Dumps and restores a program through streams, with a store in memory: a program for the pods, in the agent's place. See
//! `tests/streams.rs`.

mod memory;
mod program;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_agent::base::headway::Headway;
use crik_agent::tree::criu::{
    self, Connections, CriuError, Dump, IpcNamespace, Leave, Namespaces, Offsets, PagesSink, PagesSource,
    Pause, Restore, TimeNamespace,
};
use tokio::runtime::Runtime;

use self::memory::{Memory, Way};
use self::program::{Program, directory, end_all, wait_until};

/// How long it may take to give up a dump or a restore.
const GIVEN_UP_IN: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    if let Some(code) = criu::become_criu() {
        std::process::exit(code);
    }
    // SAFETY: no other thread runs.
    unsafe { criu::prepare_environment() };
    nix::sys::prctl::set_child_subreaper(true)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (case, program) = arguments.split_first().context("no case")?;
    let program = Program::start(program)?;
    match case.as_str() {
        "moves" => moves(&program, Namespaces::OWN)?,
        "clocks" => moves(&program, a_day_later())?,
        "sink-fails" => sink_fails(&program)?,
        "sink-hangs" => sink_hangs(&program)?,
        "source-fails" => source_fails(&program)?,
        other => anyhow::bail!("no case {other}"),
    }
    program.goes_on()?;
    program.ends_well()?;
    print!("{}", program.said()?);
    Ok(())
}

fn a_day_later() -> Namespaces {
    let (day, own) = (86_400_000_000_000, Offsets::own());
    let time = TimeNamespace::New(Offsets { monotonic: own.monotonic + day, boottime: own.boottime + day });
    Namespaces { time, ipc: IpcNamespace::Own }
}

/// Several moves, each from a store of its own.
fn moves(program: &Program, namespaces: Namespaces) -> Result<()> {
    for _ in 0..3 {
        let (images, memory) = (directory()?, Arc::new(Memory::new(Way::Well)));
        dump(program, &images, Leave::Stopped, Some(&memory), &Arc::default())?;
        only_small_ones(&images)?;
        end_all()?;
        let pauses = restore(&images, namespaces, Some(&memory), &Headway::default())?;
        ensure!(pauses == [Pause::BeforeFork, Pause::BeforeResume, Pause::Resumed], "{pauses:?}");
        program.goes_on()?;
    }
    Ok(())
}

/// Pages are nowhere but in the store, and no FIFO is left.
fn only_small_ones(images: &Path) -> Result<()> {
    for entry in images.read_dir()? {
        let entry = entry?;
        ensure!(entry.file_type()?.is_file(), "{entry:?}");
        ensure!(!entry.file_name().to_string_lossy().starts_with("pages-"), "{entry:?}");
    }
    Ok(())
}

fn sink_fails(program: &Program) -> Result<()> {
    let images = directory()?;
    let failed =
        dump(program, &images, Leave::Stopped, Some(&Arc::new(Memory::new(Way::Fail))), &Arc::default());
    is_told(failed)?;
    only_small_ones(&images)
}

/// What the store said, in its own words.
fn is_told<T>(failed: Result<T, CriuError>) -> Result<()> {
    let error = failed.err().context("it did not fail")?.to_string();
    ensure!(error == "the program's memory: the volume is full", "{error}");
    Ok(())
}

fn sink_hangs(program: &Program) -> Result<()> {
    let (images, memory) = (directory()?, Arc::new(Memory::new(Way::Hang)));
    let (root, sink, headway) = (program.root, Arc::clone(&memory), Arc::<Headway>::default());
    let theirs = Arc::clone(&headway);
    let dump = move || dump(&Program { root }, &images, Leave::Stopped, Some(&sink), &theirs).is_err();
    give_up(&memory, &headway, dump)
}

/// Gives up what `step` does once the store hangs, which takes a moment.
fn give_up(memory: &Memory, headway: &Headway, step: impl FnOnce() -> bool + Send + 'static) -> Result<()> {
    let runtime = Runtime::new()?;
    let step = runtime.spawn_blocking(step);
    wait_until("hanging store", || Ok(memory.hangs.load(Ordering::Acquire)))?;
    let began = Instant::now();
    headway.give_up();
    let left = runtime.block_on(criu::give_up(step));
    let took = began.elapsed();
    ensure!(left.is_none() && took < GIVEN_UP_IN, "it took {took:?}, and has ended: {}", left.is_none());
    runtime.shutdown_background();
    println!("given up in {took:?}");
    Ok(())
}

/// A restore that fails in any way leaves nothing that runs, and another one succeeds.
fn source_fails(program: &Program) -> Result<()> {
    let (images, memory) = (directory()?, Arc::new(Memory::new(Way::Well)));
    dump(program, &images, Leave::Stopped, Some(&memory), &Arc::default())?;
    let said = program.said()?;
    end_all()?;
    for way in [Way::Fail, Way::Less, Way::More] {
        let source = Arc::new(memory.given(way)?);
        let failed = restore(&images, Namespaces::OWN, Some(&source), &Headway::default());
        program.has_not_run(&said)?;
        match way {
            Way::Fail => is_told(failed)?,
            _ => println!("{}", failed.err().context("it was restored")?),
        }
    }
    let source = Arc::new(memory.given(Way::Hang)?);
    let (theirs, headway) = (Arc::clone(&source), Arc::<Headway>::default());
    let (at, shared) = (images.clone(), Arc::clone(&headway));
    give_up(&source, &headway, move || restore(&at, Namespaces::OWN, Some(&theirs), &shared).is_err())?;
    program.has_not_run(&said)?;
    restore(&images, Namespaces::OWN, Some(&memory), &Headway::default())?;
    Ok(())
}

fn dump(
    program: &Program,
    images: &Path,
    leave: Leave,
    sink: Option<&Arc<Memory>>,
    headway: &Arc<Headway>,
) -> Result<(), CriuError> {
    let what = Dump {
        root: program.root,
        images,
        leave,
        external: &[],
        connections: Connections::Close,
        headway,
        pages: sink.map(|memory| Arc::clone(memory) as Arc<dyn PagesSink>),
    };
    criu::dump(&what, Box::new(|_| Ok(()))).map(drop)
}

/// Returns the pauses that there were.
fn restore(
    images: &Path,
    namespaces: Namespaces,
    source: Option<&Arc<Memory>>,
    headway: &Headway,
) -> Result<Vec<Pause>, CriuError> {
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pauses);
    let hook = move |pause| -> io::Result<()> {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(pause);
        Ok(())
    };
    let what = Restore {
        images,
        work: &PathBuf::from("/proc"),
        inherited: &[],
        namespaces,
        connections: Connections::Close,
        headway,
        pages: source.map(|memory| Arc::clone(memory) as Arc<dyn PagesSource>),
    };
    criu::restore(&what, Box::new(hook))?;
    Ok(pauses.lock().unwrap_or_else(PoisonError::into_inner).clone())
}
