//! The hold on an image directory: one pod at a time may resume what is in it and commit to it.
//!
//! ```text
//! holders/00000012/holder.json   who
//! holders/00000012/renewed       changes as long as it lives
//! holders/00000012/released      it is done
//! holders/00000012/staging/      what it dumps, before the commit
//! ```
//!
//! **Exclusive.** A hold is taken by renaming a directory with its contents to the next number. rename(2) refuses a
//! target that is a directory with something in it, on NFS too, so one pod gets the number.
//!
//! **Fenced.** Everything that a holder puts anywhere in the image directory it first writes below its own hold and
//! then renames. Who takes over removes the older holds before it looks at the generations, so from then on each of
//! these renames fails, also in a pod that was cut off for an hour and still believes that it holds the directory. There
//! is no moment between a check and a write, since nothing is checked.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::backend::durable::ignore_missing;
use crate::backend::{Backend, Name};
use crate::base::fault_points::{Point, reach};
use crate::base::nonce::nonce;
use crate::base::panics::locked;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::{limits, units};
use crate::image_dir::error::{ImageDirError, io_at};
use crate::image_dir::heartbeat::Heartbeat;
use crate::image_dir::holder::{self, Holder, Seen};
use crate::image_dir::json::to_json;
use crate::image_dir::lines::Descent;
use crate::image_dir::names::{self, following, holders, parse_number};
use crate::image_dir::pack_use::PackUse;
use crate::image_dir::pod::Pod;
use crate::image_dir::purpose::Purpose;
use crate::image_dir::{Generation, ImageDir, waiting};

/// How what is to become a hold is called.
const PREPARED: &str = "new-";

/// How a directory is called in which a volume is tried; whoever takes the image directory next removes one that was left.
pub const PROBE: &str = "probe-";

/// Why an image directory could not be taken.
#[derive(Debug, Error)]
pub enum HoldError {
    /// Another pod has it.
    #[error("the image directory is held by {}", .0.name())]
    Held(Box<Seen>),
    /// Other pods take it again and again.
    #[error(
        "the image directory is taken by other pods again and again; give each replica its own, such as /checkpoints/${{POD_NAME}}"
    )]
    Contended,
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
    /// The volume fails, and is known to have nothing to resume.
    #[error("{0}; there is nothing to resume")]
    Empty(ImageDirError),
}

impl HasOutlook for HoldError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Volume(error) => error.outlook(),
            Self::Held(_) | Self::Contended | Self::Empty(_) => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Volume(error) if error.is_of_the_volume())
    }
}

/// A hold of this pod. It is renewed as long as this lives, and given back by [`Hold::release`].
#[derive(Debug)]
pub struct Hold {
    dir: ImageDir,
    name: Name,
    path: PathBuf,
    number: u64,
    descent: Mutex<Descent>,
    heartbeat: Heartbeat,
    packs: PackUse,
    /// What was told, and is not told again.
    warnings: Mutex<BTreeSet<String>>,
}

/// Who wants to hold, and which holder was found to be silent for too long.
#[derive(Debug, Clone)]
pub struct Wish {
    /// This pod.
    pub pod: Pod,
    /// After how long without a sign of life others may pass it over.
    pub expiry: Duration,
    /// The number of a hold that has expired.
    pub expired: Option<u64>,
}

impl Hold {
    /// Takes the image directory, if nobody holds it who may still be there.
    ///
    /// # Errors
    /// Somebody does, or the volume fails.
    pub fn take(dir: &ImageDir, wish: &Wish) -> Result<Arc<Self>, HoldError> {
        for _ in 0..limits::HOLD_ROUNDS {
            let newest = newest(dir)?;
            if let Some(seen) = &newest {
                may_pass_over(seen, wish)?;
            }
            let before = newest.map_or(0, |seen| seen.number);
            let number = following(before).ok_or_else(|| ImageDirError::NoNumber(dir.path_of(&holders())))?;
            match rename_in(dir, number, wish) {
                Ok(true) => return Ok(Arc::new(Self::begin(dir, number, wish)?)),
                Err(HoldError::Volume(error))
                    if is_full(&error) && discard_dumps(dir.backend(), &names::hold(before)) => {}
                other => drop(other?),
            }
        }
        Err(HoldError::Contended)
    }

    /// The number is ours: takes away what older holders could still write with, before anybody reads a generation.
    fn begin(dir: &ImageDir, number: u64, wish: &Wish) -> Result<Self, HoldError> {
        let name = names::hold(number);
        let heartbeat = Heartbeat::start(&dir.backend, &name, wish.expiry / limits::RENEWALS_PER_EXPIRY);
        let (path, descent) = (dir.local_path(&name), Mutex::new(Descent::Main));
        let (packs, warnings) = (PackUse::default(), Mutex::default());
        let hold = Self { dir: dir.clone(), name, path, number, descent, heartbeat, packs, warnings };
        let made = dir.make_local(&hold.name).map_err(io_at("create", &hold.path));
        if let Err(error) = made.and_then(|()| hold.remove_others()).and_then(|()| dir.refresh()) {
            hold.release();
            return Err(error.into());
        }
        Ok(hold)
    }

    fn remove_others(&self) -> Result<(), ImageDirError> {
        let listed = self.dir.backend().list(&holders()).map_err(self.dir.at("read", &holders()))?;
        let others = listed.iter().map(|entry| holders().join(&entry.name));
        for other in others.filter(|other| *other != self.name && is_a_holds(other.last())) {
            take_away(&self.dir, &other, &self.name)?;
        }
        self.dir.sweep_cuts()?;
        reach(Point::OthersRemoved);
        Ok(())
    }

    /// Removes what former holders left half done, which may take its time.
    ///
    /// # Errors
    /// The volume cannot be written. What one part of it could not remove keeps nothing else from going.
    pub fn remove_left_overs(&self) -> Result<(), ImageDirError> {
        let listed = self.dir.backend().list(&self.name).map_err(self.dir.at("read", &self.name))?;
        let mut left = listed.iter().filter(|entry| entry.name.starts_with(LEFT_OVER));
        let removed = left.try_for_each(|entry| self.dir.remove_all(&self.name.join(&entry.name)));
        let packs = self.sweep_packs();
        let swept = self.dir.backend().sweep(&self.name);
        removed.and(packs).and(swept.map_err(|error| self.explain("sweep", &self.path, error)))
    }

    /// To which line the generations belong that are committed with it.
    pub fn descent(&self) -> Descent {
        *locked(&self.descent)
    }

    /// From now on it is for a program that has not seen what there is to resume: what it commits stands apart.
    pub fn has_not_seen(&self) {
        *locked(&self.descent) = Descent::Unseen(None);
    }

    /// Its first generation is this one, unless there was one.
    pub(super) fn began_with(&self, generation: Generation) {
        let mut descent = locked(&self.descent);
        if *descent == Descent::Unseen(None) {
            *descent = Descent::Unseen(Some(generation));
        }
    }

    /// Gives the image directory back. If that fails, others wait until the hold expires.
    pub fn release(&self) {
        self.heartbeat.stop();
        // An NFS client that waits looks for the name's absence in its memory for up to a minute (nfs(5), `acdirmax`), but asks the
        // server for the contents of a file whenever it opens it.
        let backend = self.dir.backend();
        let released = holder::renew(backend, &self.name, holder::DONE)
            .and_then(|()| backend.create(&self.name.join(holder::RELEASED), b""))
            .and_then(|()| backend.sync(&self.name));
        reach(Point::Released);
        if let Err(error) = released {
            tracing::warn!(
                "the image directory cannot be given back; another pod waits until claimExpiry: {error}"
            );
        }
    }

    /// Who refers to packs at this moment.
    pub(super) fn pack_use(&self) -> &PackUse {
        &self.packs
    }

    /// Tells something that stays so, once in the life of this hold.
    pub(super) fn warn_once(&self, told: String) {
        let mut warnings = locked(&self.warnings);
        if !warnings.contains(&told) {
            tracing::warn!("{told}");
            warnings.insert(told);
        }
    }

    /// Whether another pod is known to have taken the image directory over.
    pub fn is_lost(&self) -> bool {
        self.heartbeat.is_lost()
    }

    /// The image directory.
    pub fn dir(&self) -> &ImageDir {
        &self.dir
    }

    /// What its directory is called.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// A directory of this hold's own.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes so many bytes and removes them again; says how long they took to be durable.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write_for_a_moment(&self, bytes: u64) -> io::Result<Duration> {
        let (began, backend, file) = (Instant::now(), self.dir.backend(), self.name.join("speed"));
        let mut sink = backend.begin(&file)?;
        let piece = vec![0x5a; limits::BLOCK_BYTES];
        let mut left = bytes;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            sink.write(&piece[..now])?;
            left -= now as u64;
        }
        sink.finish()?;
        let took = began.elapsed();
        backend.remove(&file)?;
        // Else by the next sweep: it was measured none the less.
        let _ = backend.sweep(&self.name);
        Ok(took)
    }

    /// Replaces `target` in the image directory by `contents`, whole or not at all, also over a loss of power.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub(crate) fn put(&self, target: &Name, contents: &[u8]) -> Result<(), ImageDirError> {
        let (stem, _) = target.last().rsplit_once('.').unwrap_or((target.last(), ""));
        let partial = self.name.join(&format!("{stem}.partial"));
        let written = self.dir.backend().create(&partial, contents);
        written
            .inspect(|()| reach(Point::PartialWritten))
            .and_then(|()| self.move_over(&partial, target))
            .map_err(|error| self.explain("write", &self.dir.path_of(target), error))?;
        self.dir.sync(&target.parent())
    }

    /// A file cannot be renamed onto a directory, which has no business there.
    fn move_over(&self, partial: &Name, target: &Name) -> io::Result<()> {
        let backend = self.dir.backend();
        match backend.rename(partial, target) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                backend.rename(target, &self.name.join("removing-directory"))?;
                backend.rename(partial, target)
            }
            other => other,
        }
    }

    /// Removes a generation, the account of its attempts, what was cut from files when it was resumed, and packs that no other needs. It is
    /// renamed away first, so that it is never seen half removed.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn remove(&self, generation: Generation) -> Result<(), ImageDirError> {
        let name = generation.directory();
        let (path, trash) = (self.dir.path_of(&name), self.name.join(&format!("removing-{generation}")));
        self.dir.remove_all(&trash)?;
        match self.dir.backend().rename(&name, &trash) {
            // Somebody else of this pod removes it too, or an answer was lost and it was done twice (NFS).
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why = self.explain("remove", &path, error);
                if matches!(why, ImageDirError::Lost(_)) {
                    return Err(why);
                }
            }
            other => other.map_err(|error| self.explain("remove", &path, error))?,
        }
        reach(Point::GenerationHidden);
        self.dir.remove_all(&trash)?;
        reach(Point::GenerationRemoved);
        self.dir.remove_all(&generation.cut())?;
        self.remove_attempts(generation)?;
        self.sweep_waste_of_removed()
    }

    /// Removes the account of the attempts to resume a generation.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn remove_attempts(&self, generation: Generation) -> Result<(), ImageDirError> {
        let (attempts, trash) = (generation.attempts(), self.name.join("removing-attempts"));
        ignore_missing(self.dir.backend().rename(&attempts, &trash))
            .map_err(|error| self.explain("remove", &self.dir.path_of(&attempts), error))?;
        self.dir.remove_all(&trash)
    }

    /// What was cut from a file, and is in `partial` below this hold's own directory, is kept under this name in the directory of
    /// `generation`; in a bucket too.
    ///
    /// # Errors
    /// It cannot be written, or another pod holds the image directory now.
    pub fn keep_cut(&self, partial: &str, generation: Generation, name: &str) -> io::Result<()> {
        let (from, to) = (self.name.join(partial), generation.cut().join(name));
        self.dir.keep_by_way_of(&from, &to)?;
        fs::rename(self.dir.local_path(&from), self.dir.local_path(&to))
    }

    /// What is not there any more was taken away by who took over, which is the news.
    pub fn explain(&self, what: &'static str, path: &Path, error: io::Error) -> ImageDirError {
        match newest(&self.dir) {
            Ok(Some(seen)) if seen.number > self.number => ImageDirError::Lost(seen.name()),
            _ => io_at(what, path)(error),
        }
    }
}

/// The hold with the highest number; it is the only one that counts.
///
/// # Errors
/// The volume cannot be read.
pub fn newest(dir: &ImageDir) -> Result<Option<Seen>, ImageDirError> {
    for _ in 0..limits::HOLD_ROUNDS {
        let Some(number) = dir.newest_hold()? else { return Ok(None) };
        let hold = names::hold(number);
        match Seen::read(dir.backend(), &hold, number) {
            // Taken over while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir.backend().look(&hold).is_err() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Seen { number, holder: None, renewed: Vec::new(), released: false }));
            }
            other => return other.map(Some).map_err(dir.at("read", &hold)),
        }
    }
    Err(dir.at("read", &holders())(io::Error::other("it changes all the time")))
}

fn may_pass_over(seen: &Seen, wish: &Wish) -> Result<(), HoldError> {
    let why = match seen.gone(&wish.pod) {
        Some(why) => why,
        None if wish.expired == Some(seen.number) => "it has given no sign of life for claimExpiry",
        None => return Err(HoldError::Held(Box::new(seen.clone()))),
    };
    tracing::debug!("the image directory is taken over from {}: {why}", seen.name());
    Ok(())
}

/// Makes the hold `number` ours. False if another pod was faster.
fn rename_in(dir: &ImageDir, number: u64, wish: &Wish) -> Result<bool, HoldError> {
    let (nonce, target) = (nonce().map_err(io_at("read", Path::new("/dev/urandom")))?, names::hold(number));
    // Who has just taken the directory removes what others prepare for the number that it has now.
    let new = match prepare(dir, &nonce, wish) {
        Err(ImageDirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(false);
        }
        other => other?,
    };
    reach(Point::HoldPrepared);
    let renamed = dir.backend().rename(&new, &target);
    reach(Point::HoldTaken);
    let seen = Seen::read(dir.backend(), &target, number);
    // Over NFS an error may only mean that the answer was lost; and what was renamed may have been half removed before.
    if seen.is_ok_and(|seen| seen.holder.is_some_and(|holder| holder.nonce == nonce)) {
        dir.sync(&holders())?;
        return Ok(still_newest(dir, number)?);
    }
    dir.remove_all(if renamed.is_ok() { &target } else { &new })?;
    match renamed {
        Err(error) if !is_taken(&error) => Err(dir.at("rename a directory to", &target)(error).into()),
        _ => Ok(false),
    }
}

/// Whether a rename failed since another pod was faster, or has removed what was prepared. A volume that cannot rename
/// directories says something else.
fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound, StaleNetworkFileHandle};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotFound | StaleNetworkFileHandle)
}

/// Whether a name among the holds is one that crik makes: a hold, or what was to become one, or a probe of the volume.
fn is_a_holds(name: &str) -> bool {
    parse_number(name).is_some()
        || [PREPARED, PROBE, waiting::RECORD].iter().any(|start| name.starts_with(start))
}

fn prepare(dir: &ImageDir, nonce: &str, wish: &Wish) -> Result<Name, ImageDirError> {
    let (backend, new) = (dir.backend(), holders().join(&format!("{PREPARED}{nonce}")));
    backend.make(&new).map_err(dir.at("create", &new))?;
    let holder = Holder {
        pod: wish.pod.clone(),
        nonce: nonce.to_owned(),
        since: units::now(),
        expiry_ms: u64::try_from(wish.expiry.as_millis()).unwrap_or(u64::MAX),
    };
    let written = backend
        .create(&new.join(holder::HOLDER), &to_json(&holder))
        .and_then(|()| backend.create(&new.join(holder::RENEWED), b"0\n"))
        .and_then(|()| backend.sync(&new));
    written.map_err(dir.at("write", &new))?;
    Ok(new)
}

/// A listing is no snapshot, and on NFS it may be old: the number that we took may have been free because a higher one
/// is taken. Now that we have changed the directory, it is read anew.
fn still_newest(dir: &ImageDir, number: u64) -> Result<bool, ImageDirError> {
    if dir.newest_hold()? == Some(number) {
        return Ok(true);
    }
    dir.remove_all(&names::hold(number))?;
    Ok(false)
}

/// How a directory of a former holder's is called until it is removed.
const LEFT_OVER: &str = "left-over-";

fn is_full(error: &ImageDirError) -> bool {
    let full = [libc::ENOSPC, libc::EDQUOT];
    matches!(error, ImageDirError::Io { source, .. } if full.iter().any(|code| source.raw_os_error() == Some(*code)))
}

/// Removes the dumps that a holder that is gone left half done in its hold. On a volume that is full they may be what fills it. True
/// if there were any.
fn discard_dumps(backend: &dyn Backend, hold: &Name) -> bool {
    let entries = backend.list(hold).unwrap_or_default();
    let large = |name: &str| {
        let is_staged = Purpose::ALL.iter().any(|purpose| name.starts_with(purpose.name()));
        is_staged || name.starts_with(LEFT_OVER) || name.starts_with("removing-")
    };
    let dumps = entries.iter().filter(|entry| large(&entry.name));
    dumps.filter(|entry| backend.remove(&hold.join(&entry.name)).is_ok()).count() > 0
}

/// Out of sight by one rename, and only then emptied: who removed file by file could meet a pod that renames the same directory to
/// its number, and would go on in a hold that counts. The directory itself must be gone, since a pod that was cut off may still have
/// it open (NFS) and commit from it; what was in it may be large, stays below `own`, and is removed in time.
fn take_away(dir: &ImageDir, other: &Name, own: &Name) -> Result<(), ImageDirError> {
    let (backend, trash) = (dir.backend(), own.join("removing-holder"));
    remove_stubbornly(dir, &trash)?;
    ignore_missing(backend.rename(other, &trash)).map_err(dir.at("remove", other))?;
    let left = backend.list(&trash).unwrap_or_default();
    for entry in left.iter().filter(|entry| entry.is_directory) {
        let later = own.join(&left_over(other.last(), &entry.name));
        ignore_missing(backend.rename(&trash.join(&entry.name), &later)).map_err(dir.at("remove", other))?;
    }
    remove_stubbornly(dir, &trash)
}

/// How a directory of the hold `of` is called from now on. What that had from a former one keeps its name: a program that crashes as
/// soon as it runs makes one hold after the other in which nothing was removed yet, and no name may grow with each.
fn left_over(of: &str, name: &str) -> String {
    if name.starts_with(LEFT_OVER) { name.to_owned() } else { format!("{LEFT_OVER}{of}-{name}") }
}

/// A pod that was cut off may still write into what is removed.
fn remove_stubbornly(dir: &ImageDir, name: &Name) -> Result<(), ImageDirError> {
    let mut outcome = Ok(());
    for _ in 0..limits::HOLD_ROUNDS {
        outcome = dir.remove_all(name);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
