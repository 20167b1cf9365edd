//! A copy of the program is restored beside it, from a checkpoint that was just taken, and watched: whether it makes steps. It is done by
//! two processes of their own: one looks at the program and makes a place for the copy, the other is the first one there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::{Generation, layout};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::pipe;
use serde::{Deserialize, Serialize};

use crate::base::headway::Headway;
use crate::base::panics::locked;
use crate::base::units::whole_ms;
use crate::base::{exit_codes, limits};
use crate::carry::{addresses, streams};
use crate::config::Config;
use crate::restore::copy;
use crate::tree::criu::{self, images};
use crate::tree::process::fd_info::FdInfo;
use crate::tree::process::scratch::{self, Wanted};
use crate::tree::process::snapshot::Snapshot;
use crate::tree::process::steps::{self, Steps};
use crate::tree::process::{beside, reap};

/// The subcommand that does it.
pub const SUBCOMMAND: &str = "trial-copy";

/// The same, in the copy's own namespaces.
const INSIDE: &str = "inside";

/// What became of the copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// From the first look at the image until the copy ran, in milliseconds.
    pub resumed_ms: u64,
    /// Its threads.
    pub threads: usize,
    /// Those of them that ran again after all had run for the first time; the others wait for something.
    pub stepping: usize,
    /// What is wrong with it.
    pub wrong: Vec<String>,
}

/// What the processes say to the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Said {
    /// There can be no such place, for this reason.
    NoPlace(String),
    /// The copy was not resumed.
    NotResumed(String),
    /// It was.
    Watched(Watched),
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum NoCopy {
    /// It cannot be made here; that says nothing of the program.
    #[error("{0}")]
    NoPlace(String),
    /// It cannot be resumed.
    #[error("{0}")]
    NotResumed(String),
    /// It was given up.
    #[error("it was given up for something more important, or took too long")]
    GivenUp,
}

/// Whether a place for a copy can be made here. Blocks.
///
/// # Errors
/// Why not.
pub fn check(headway: &Headway) -> Result<(), NoCopy> {
    ask(&mut command(&["check"]), limits::TRIAL_COPY_PATIENCE, headway).map(drop)
}

/// Restores what was staged in `directory` of the tree with this root, and watches it. Blocks. Nothing of it is left afterwards.
///
/// # Errors
/// Why not.
pub fn resume(directory: &Path, manifest: &Manifest, headway: &Headway) -> Result<Watched, NoCopy> {
    let (root, generation) = (manifest.tree.root.to_string(), manifest.generation.0.to_string());
    let mut command = command(&["outside", &root, &generation]);
    command.arg(directory);
    match ask(&mut command, limits::TRIAL_COPY_PATIENCE, headway)? {
        Said::Watched(watched) => Ok(watched),
        Said::NoPlace(why) => Err(NoCopy::NoPlace(why)),
        Said::NotResumed(why) => Err(NoCopy::NotResumed(why)),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(SUBCOMMAND).args(arguments);
    command
}

fn ask(command: &mut Command, patience: Duration, headway: &Headway) -> Result<Said, NoCopy> {
    let output = beside::run_while(command, patience, &|| !headway.is_given_up());
    let output = output.map_err(|error| NoCopy::NoPlace(error.to_string()))?.ok_or(NoCopy::GivenUp)?;
    match serde_json::from_slice(&output.stdout) {
        Ok(Said::NoPlace(why)) => Err(NoCopy::NoPlace(why)),
        Ok(said) => Ok(said),
        Err(_) => Err(NoCopy::NotResumed(format!("the copy ended with {}", output.status))),
    }
}

/// What the processes of their own do. Returns the exit code; what came of it is printed.
pub fn main(arguments: &[String]) -> i32 {
    // SAFETY: no other thread runs.
    unsafe { criu::prepare_environment() };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = match *words.as_slice() {
        ["check"] => outside(&Seen::default(), &[INSIDE]),
        ["outside", root, generation, directory] => root
            .parse()
            .map_err(|_| "no root".to_owned())
            .and_then(|root| outside(&Seen::of(root), &[INSIDE, generation, directory])),
        [INSIDE] => inside(None).map(Some),
        [INSIDE, generation, directory] => {
            inside(generation.parse().ok().map(|number| (Generation(number), Path::new(directory)))).map(Some)
        }
        _ => Err("it is for the agent".to_owned()),
    };
    let said = said.unwrap_or_else(|why| Some(Said::NoPlace(why)));
    said.map_or(0, |said| {
        println!("{}", serde_json::to_string(&said).unwrap_or_default());
        0
    })
}

/// What only who is outside of the place can see.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// What the program has open to write.
    written: BTreeSet<PathBuf>,
    /// Where it has files without a name, and sockets.
    directories: BTreeSet<PathBuf>,
    addresses: Vec<IpAddr>,
}

impl Seen {
    fn of(root: i32) -> Self {
        let mut seen = Self::default();
        for process in &Snapshot::take().tree(root).0 {
            seen.descriptors(process.pid);
            seen.mappings(process.pid);
        }
        let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let names = sockets.lines().filter_map(|line| line.split_whitespace().nth(7));
        names.filter(|name| name.starts_with('/')).for_each(|name| seen.directory_of(Path::new(name)));
        seen.addresses = addresses::own().unwrap_or_default().into_iter().map(|one| one.ip).collect();
        seen
    }

    fn descriptors(&mut self, pid: i32) {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        for entry in entries {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let flags = FdInfo::of(pid, entry.file_name()).ok().and_then(|info| info.flags());
            let is_written = flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY);
            self.note(target, is_written);
        }
    }

    fn mappings(&mut self, pid: i32) {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        for line in maps.lines().filter(|line| line.contains('/')) {
            let Some(at) = line.find('/') else { continue };
            let is_written =
                line.split(' ').nth(1).is_some_and(|mode| mode.contains('w') && mode.ends_with('s'));
            self.note(PathBuf::from(&line[at..]), is_written);
        }
    }

    fn note(&mut self, path: PathBuf, is_written: bool) {
        if let Some(name) = path.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
            self.directory_of(Path::new(name));
        } else if is_written && path.is_file() && !path.starts_with("/proc") && !path.starts_with("/sys") {
            self.written.insert(path);
        }
    }

    fn directory_of(&mut self, path: &Path) {
        let directory = path.parent().filter(|parent| *parent != Path::new("/") && parent.is_dir());
        self.directories.extend(directory.map(Path::to_owned));
    }

    /// On standard input of the one inside.
    fn hand_down(&self) -> io::Result<()> {
        let mut file = File::from(memfd_create(c"seen", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        // SAFETY: standard input is /dev/null, which nobody reads.
        if unsafe { libc::dup2(file.as_raw_fd(), 0) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn outside(seen: &Seen, arguments: &[&str]) -> Result<Option<Said>, String> {
    seen.hand_down().map_err(|error| error.to_string())?;
    let all = [&[SUBCOMMAND], arguments].concat();
    let all: Vec<&std::ffi::OsStr> = all.iter().map(std::ffi::OsStr::new).collect();
    // The one inside has said what there is to say.
    match scratch::run(&all) {
        Ok(code) if code == exit_codes::FAILURE => {
            Err("the first process of a copy's place cannot be started".to_owned())
        }
        Ok(_) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn inside(what: Option<(Generation, &Path)>) -> Result<Said, String> {
    let mut json = Vec::new();
    io::stdin().read_to_end(&mut json).map_err(|error| error.to_string())?;
    let seen: Seen = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let manifest = what.map(|(generation, path)| Manifest::read(path, generation, None)).transpose();
    let manifest = manifest.map_err(|error| error.to_string())?;
    scratch::furnish(&wanted(seen, what, manifest.as_ref())).map_err(|error| error.to_string())?;
    let (Some((_, path)), Some(manifest)) = (what, manifest) else {
        return Ok(Said::Watched(Watched::default()));
    };
    Ok(resume_inside(path, &manifest, None).map_or_else(Said::NotResumed, Said::Watched))
}

fn wanted(seen: Seen, what: Option<(Generation, &Path)>, manifest: Option<&Manifest>) -> Wanted {
    let mut directories: Vec<PathBuf> = limits::TRIAL_DIRECTORIES.iter().map(PathBuf::from).collect();
    directories.extend(seen.directories);
    let unnamed = manifest.iter().flat_map(|manifest| &manifest.unnamed_files);
    directories.extend(unnamed.filter_map(|file| file.name.parent().map(Path::to_owned)));
    directories.retain(|path| what.is_none_or(|(_, staged)| !staged.starts_with(path)));
    let sizes = what.map_or_else(BTreeMap::new, |(_, path)| sizes(path));
    let files = seen.written.into_iter().map(|path| {
        let size = sizes.get(&path).copied();
        (path, size)
    });
    Wanted { directories, files: files.collect(), addresses: seen.addresses }
}

/// How long each regular file was that the program had open at the checkpoint in `path`.
pub(super) fn sizes(path: &Path) -> BTreeMap<PathBuf, u64> {
    let files = images::open_files(&path.join(layout::IMAGES)).ok().and_then(|all| all.regular_files().ok());
    files.into_iter().flatten().filter_map(|file| Some((file.path, file.size?))).collect()
}

/// Restores the copy where this process is the first, and watches it. A container of its own is made ready by `its_own` configuration.
pub(super) fn resume_inside(
    path: &Path,
    manifest: &Manifest,
    its_own: Option<&Config>,
) -> Result<Watched, String> {
    let streams = Streams::of(manifest).map_err(|error| error.to_string())?;
    let (began, before) = (Instant::now(), Arc::new(Mutex::new(BTreeMap::new())));
    let (noted, root) = (Arc::clone(&before), manifest.tree.root);
    let ready = move || *locked(&noted) = steps_of_tree(root);
    let outcome = copy::restore(path, manifest, (&streams.inherited, its_own), ready);
    let resumed_ms = whole_ms(began.elapsed());
    let watched = outcome
        .map(|()| watch(root, &std::mem::take(&mut *locked(&before))))
        .map_err(|error| error.to_string());
    reap::end_all_children();
    watched.map(|watched| Watched { resumed_ms, ..watched })
}

fn steps_of_tree(root: i32) -> BTreeMap<i32, Steps> {
    steps::of(Snapshot::take().tree(root).0.iter().map(|process| process.pid))
}

/// Each thread of the copy has to run once, since it returns from the call that it was frozen in; then it is looked who runs again.
fn watch(root: i32, before: &BTreeMap<i32, Steps>) -> Watched {
    let until = Instant::now() + limits::TRIAL_STEP_PATIENCE;
    let first = loop {
        let now = steps_of_tree(root);
        let is_idle =
            |(tid, steps): (&i32, &Steps)| now.get(tid).is_some_and(|now| !now.are_more_than(steps));
        if !before.iter().any(is_idle) || Instant::now() > until {
            break now;
        }
        thread::sleep(limits::TRIAL_POLL);
    };
    thread::sleep(limits::TRIAL_WATCH);
    let last = steps_of_tree(root);
    let stepping =
        last.iter().filter(|(tid, now)| first.get(tid).is_some_and(|then| now.are_more_than(then))).count();
    Watched { resumed_ms: 0, threads: before.len(), stepping, wrong: wrong(root, before, &first, &last) }
}

fn wrong(
    root: i32,
    before: &BTreeMap<i32, Steps>,
    first: &BTreeMap<i32, Steps>,
    last: &BTreeMap<i32, Steps>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if before.is_empty() {
        wrong.push("the copy has no process".to_owned());
    }
    for (tid, then) in before {
        let named = || format!("thread {tid} of process {}", then.pid);
        match last.get(tid) {
            None if then.pid == *tid => wrong.push(match *tid == root {
                true => "the copy has ended; does the program end without its network?".to_owned(),
                false => format!("process {tid} of the copy has ended; does it end without its network?"),
            }),
            None => {}
            Some(now) if matches!(now.state, 'T' | 't') => wrong.push(format!("{} stands still", named())),
            Some(now) if now.state == 'Z' && then.state != 'Z' => {
                wrong.push(format!("{} of the copy has ended", named()))
            }
            Some(now) if first.contains_key(tid) && !now.are_more_than(then) && now.state != 'Z' => {
                wrong.push(format!("{} has not run since it was resumed (state {})", named(), now.state));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// What stands in for the copy's standard streams: what it writes is read by nobody but us, and what it reads never comes.
struct Streams {
    inherited: Vec<(RawFd, String)>,
    _ends: Vec<OwnedFd>,
}

impl Streams {
    fn of(manifest: &Manifest) -> io::Result<Self> {
        let mut all = Self { inherited: Vec::new(), _ends: Vec::new() };
        for (fd, key) in streams::inherited(&manifest.stdio) {
            let (read, write) = pipe()?;
            let (theirs, ours) = if fd == 0 { (read, write) } else { (write, read) };
            all.inherited.push((theirs.as_raw_fd(), key));
            all._ends.push(theirs);
            if fd == 0 {
                all._ends.push(ours);
            } else {
                thread::spawn(move || io::copy(&mut File::from(ours), &mut io::sink()));
            }
        }
        Ok(all)
    }
}
