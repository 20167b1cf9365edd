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

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;

use crate::base::fault_points::{Point, reach};
use crate::base::panics::locked;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::watchdog::moved;
use crate::base::{limits, units};
use crate::image_dir::durable::{
    create_durably, create_nameless, ignore_missing, remove_tree, sync_directory, to_json,
};
use crate::image_dir::error::{ImageDirError, io_at};
use crate::image_dir::heartbeat::Heartbeat;
use crate::image_dir::holder::{self, Holder, Seen};
use crate::image_dir::lines::Descent;
use crate::image_dir::pod::Pod;
use crate::image_dir::{Generation, ImageDir, following, parse_number, waiting};

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
    path: PathBuf,
    number: u64,
    descent: Mutex<Descent>,
    heartbeat: Heartbeat,
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
            let number = following(before).ok_or_else(|| ImageDirError::NoNumber(dir.holders()))?;
            match rename_in(dir, number, wish) {
                Ok(Some(path)) => return Ok(Arc::new(Self::begin(dir, path, number, wish)?)),
                Err(HoldError::Volume(error)) if is_full(&error) && discard_dumps(&dir.hold(before)) => {}
                other => drop(other?),
            }
        }
        Err(HoldError::Contended)
    }

    /// The number is ours: takes away what older holders could still write with, before anybody reads a generation.
    fn begin(dir: &ImageDir, path: PathBuf, number: u64, wish: &Wish) -> Result<Self, HoldError> {
        let heartbeat = Heartbeat::start(&path, wish.expiry / limits::RENEWALS_PER_EXPIRY);
        let hold = Self { dir: dir.clone(), path, number, descent: Mutex::new(Descent::Main), heartbeat };
        if let Err(error) = hold.remove_others().and_then(|()| dir.refresh()) {
            hold.release();
            return Err(error.into());
        }
        Ok(hold)
    }

    fn remove_others(&self) -> Result<(), ImageDirError> {
        let holders = self.dir.holders();
        for entry in fs::read_dir(&holders).map_err(io_at("read", &holders))? {
            let entry = entry.map_err(io_at("read", &holders))?;
            moved();
            if entry.path() != self.path && is_a_holds(&entry.file_name().to_string_lossy()) {
                take_away(&entry.path(), &self.path.join("removing-holder"), &self.path)?;
            }
        }
        self.dir.sweep_cuts()?;
        reach(Point::OthersRemoved);
        Ok(())
    }

    /// Removes what former holders left half done, which may take its time.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn remove_left_overs(&self) -> Result<(), ImageDirError> {
        for entry in fs::read_dir(&self.path).map_err(io_at("read", &self.path))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(LEFT_OVER) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
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
        let renewed = self.path.join(holder::RENEWED);
        let told = renewed.symlink_metadata().and_then(|_| fs::write(renewed, holder::DONE));
        let released = told.and_then(|()| create_durably(&self.path.join(holder::RELEASED), b""));
        reach(Point::Released);
        if let Err(error) = released {
            tracing::warn!(
                "the image directory cannot be given back; another pod waits until claimExpiry: {error}"
            );
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

    /// A directory of this hold's own on the volume.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces `target` in the image directory by `contents`, whole or not at all, also over a loss of power.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn put(&self, target: &Path, contents: &[u8]) -> Result<(), ImageDirError> {
        let partial = self.path.join(target.file_name().unwrap_or_default()).with_extension("partial");
        create_nameless(&partial, contents)
            .inspect(|()| reach(Point::PartialWritten))
            .and_then(|()| self.move_over(&partial, target))
            .map_err(|error| self.explain("write", target, error))?;
        sync_directory(target.parent().unwrap_or(target))
    }

    /// A file cannot be renamed onto a directory, which has no business there.
    fn move_over(&self, partial: &Path, target: &Path) -> io::Result<()> {
        match fs::rename(partial, target) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                fs::rename(target, self.path.join("removing-directory"))?;
                fs::rename(partial, target)
            }
            other => other,
        }
    }

    /// Removes a generation, the account of its attempts, and what was cut from files when it was resumed. It is renamed away
    /// first, so that it is never seen half removed.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn remove(&self, generation: Generation) -> Result<(), ImageDirError> {
        let path = self.dir.generation(generation);
        let trash = self.path.join(format!("removing-{generation}"));
        remove_tree(&trash)?;
        match fs::rename(&path, &trash) {
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
        remove_tree(&trash)?;
        reach(Point::GenerationRemoved);
        remove_tree(&self.dir.cut(generation))?;
        self.remove_attempts(generation)
    }

    /// Removes the account of the attempts to resume a generation.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn remove_attempts(&self, generation: Generation) -> Result<(), ImageDirError> {
        let (attempts, trash) = (self.dir.attempts(generation), self.path.join("removing-attempts"));
        ignore_missing(fs::rename(&attempts, &trash))
            .map_err(|error| self.explain("remove", &attempts, error))?;
        remove_tree(&trash)
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
        let path = dir.hold(number);
        match Seen::read(&path, number) {
            // Taken over while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Seen { number, holder: None, renewed: Vec::new(), released: false }));
            }
            other => return other.map(Some).map_err(io_at("read", &path)),
        }
    }
    Err(io_at("read", &dir.holders())(io::Error::other("it changes all the time")))
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

/// Makes the hold `number` ours. None if another pod was faster.
fn rename_in(dir: &ImageDir, number: u64, wish: &Wish) -> Result<Option<PathBuf>, HoldError> {
    let (nonce, target) = (nonce().map_err(io_at("read", Path::new("/dev/urandom")))?, dir.hold(number));
    // Who has just taken the directory removes what others prepare for the number that it has now.
    let new = match prepare(dir, &nonce, wish) {
        Err(ImageDirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    reach(Point::HoldPrepared);
    moved();
    let renamed = fs::rename(&new, &target);
    reach(Point::HoldTaken);
    moved();
    let ours = || {
        Seen::read(&target, number).is_ok_and(|seen| seen.holder.is_some_and(|holder| holder.nonce == nonce))
    };
    // Over NFS an error may only mean that the answer was lost; and what was renamed may have been half removed before.
    if ours() {
        sync_directory(&dir.holders())?;
        return Ok(still_newest(dir, number, &target)?.then_some(target));
    }
    remove_tree(if renamed.is_ok() { &target } else { &new })?;
    match renamed {
        Err(error) if !is_taken(&error) => Err(io_at("rename a directory to", &target)(error).into()),
        _ => Ok(None),
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

fn prepare(dir: &ImageDir, nonce: &str, wish: &Wish) -> Result<PathBuf, ImageDirError> {
    let new = dir.holders().join(format!("{PREPARED}{nonce}"));
    DirBuilder::new().mode(0o700).create(&new).map_err(io_at("create", &new))?;
    let holder = Holder {
        pod: wish.pod.clone(),
        nonce: nonce.to_owned(),
        since: units::now(),
        expiry_ms: u64::try_from(wish.expiry.as_millis()).unwrap_or(u64::MAX),
    };
    let written = create_nameless(&new.join(holder::HOLDER), &to_json(&holder))
        .and_then(|()| create_durably(&new.join(holder::RENEWED), b"0\n"));
    written.map_err(io_at("write", &new))?;
    Ok(new)
}

/// A listing is no snapshot, and on NFS it may be old: the number that we took may have been free because a higher one
/// is taken. Now that we have changed the directory, it is read anew.
fn still_newest(dir: &ImageDir, number: u64, path: &Path) -> Result<bool, ImageDirError> {
    if dir.newest_hold()? == Some(number) {
        return Ok(true);
    }
    remove_tree(path)?;
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
fn discard_dumps(hold: &Path) -> bool {
    let entries = fs::read_dir(hold).into_iter().flatten().flatten();
    let large = |name: &str| {
        ["staging-", "interval-", "restore-", LEFT_OVER, "removing-"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let dumps = entries.filter(|entry| large(&entry.file_name().to_string_lossy()));
    dumps.filter(|entry| remove_tree(&entry.path()).is_ok()).count() > 0
}

/// Out of sight by one rename, and only then emptied: who removed file by file could meet a pod that renames the same directory to
/// its number, and would go on in a hold that counts. The directory itself must be gone, since a pod that was cut off may still have
/// it open (NFS) and commit from it; what was in it may be large, goes below `later`, and is removed in time.
fn take_away(path: &Path, trash: &Path, later: &Path) -> Result<(), ImageDirError> {
    remove_stubbornly(trash)?;
    ignore_missing(fs::rename(path, trash)).map_err(io_at("remove", path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for entry in fs::read_dir(trash).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let left = left_over(&name, &entry.file_name().to_string_lossy());
            ignore_missing(fs::rename(entry.path(), later.join(left))).map_err(io_at("remove", path))?;
        }
    }
    remove_stubbornly(trash)
}

/// How a directory of the hold `of` is called from now on. What that had from a former one keeps its name: a program that crashes as
/// soon as it runs makes one hold after the other in which nothing was removed yet, and no name may grow with each.
fn left_over(of: &str, name: &str) -> String {
    if name.starts_with(LEFT_OVER) { name.to_owned() } else { format!("{LEFT_OVER}{of}-{name}") }
}

/// A pod that was cut off may still write into what is removed.
fn remove_stubbornly(path: &Path) -> Result<(), ImageDirError> {
    let mut outcome = Ok(());
    for _ in 0..limits::HOLD_ROUNDS {
        outcome = remove_tree(path);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
