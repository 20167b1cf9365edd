//! Brings files of volumes back to the length that the tree remembers: what it wrote after the checkpoint it writes again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crik_store::backend::durable::sync_names;
use crik_store::backend::no_links;
use crik_store::generation::open_files::{Access, VolumeFile};
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::{Generation, retention};

use super::error::{OpenFileError, io_at};
use super::note::modified;
use super::volumes::Volumes;
use crate::base::headway::Headway;
use crate::carry::name_text::escape;
use crate::config::ChangedFiles;

/// Where what is cut is kept, and what may be cut.
pub struct Place {
    /// The hold on the image directory. What is kept is written below it and then renamed, so that a pod that has lost it cuts
    /// nothing: another one's program may write there.
    pub hold: Arc<Hold>,
    /// The generation that is resumed.
    pub generation: Generation,
    /// What may be cut.
    pub rules: Rules,
}

/// What may be cut.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether the tree has run on after the checkpoint. If not, what stands behind the end of a file that it only appended
    /// to was written by others, and stays.
    pub ran_on: bool,
    /// What becomes of files that the tree only read.
    pub changed_files: ChangedFiles,
}

/// Cuts each of `files` that the tree could write to and that is longer now to the length that it had, and keeps what was
/// behind. Nothing is cut before all have been looked at.
///
/// # Errors
/// A file is missing, shorter, or longer though the tree only read it; or what is cut cannot be kept. Nothing is cut then.
pub fn cut(files: &[VolumeFile], place: &Place, headway: &Arc<Headway>) -> Result<Cuts, OpenFileError> {
    let mut grown = Vec::new();
    for file in files {
        grown.extend(behind(file, place.rules)?.map(|found| (file, found)));
    }
    let mut cuts = Cuts { cuts: Vec::new(), headway: Arc::clone(headway) };
    if grown.is_empty() {
        return Ok(cuts);
    }
    make_room(&grown, place)?;
    let volumes = Volumes::here().map_err(io_at("read", Path::new("/proc/self/mountinfo")))?;
    for (file, found) in grown {
        headway.go_on(0).map_err(io_at("cut", &file.path))?;
        cuts.one(file, found, place, &volumes)?;
    }
    let directory = place.directory();
    sync_names(&directory).map_err(io_at("fsync", &directory))?;
    Ok(cuts)
}

/// The length of a file that has to be cut.
fn behind(file: &VolumeFile, rules: Rules) -> Result<Option<u64>, OpenFileError> {
    let path = file.path.clone();
    let meta = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenFileError::Missing(path)),
        Err(error) => return Err(io_at("look at", &path)(error)),
        Ok(meta) if !meta.is_file() => return Err(OpenFileError::Replaced(path)),
        Ok(meta) => meta,
    };
    let (found, expected, refuse) = (meta.len(), file.size, rules.changed_files == ChangedFiles::Refuse);
    match file.access {
        Access::Read if refuse && modified(&meta) != file.modified => Err(OpenFileError::Changed(path)),
        _ if found == expected => Ok(None),
        Access::Append if found < expected || !rules.ran_on => Ok(None),
        _ if found < expected => Err(OpenFileError::Shorter { path, found, expected }),
        Access::Execute => Err(OpenFileError::OtherProgram(path)),
        Access::Read => Ok(None),
        Access::Append | Access::Write => Ok(Some(found)),
    }
}

fn make_room(grown: &[(&VolumeFile, u64)], place: &Place) -> Result<(), OpenFileError> {
    let directory = place.directory();
    let brought = place.hold.dir().bring_cut(place.generation);
    brought.map_err(io_at("read", &directory))?;
    for path in [directory.parent().unwrap_or(&directory), &directory] {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_at("create", path)(error));
            }
            _ => no_links::directory(path, Path::new("")).map_err(io_at("open", path))?,
        };
    }
    let needed = grown.iter().map(|(file, found)| found - file.size).fold(0, u64::saturating_add);
    let free = retention::free(&directory)?;
    if free < needed { Err(OpenFileError::NoRoom { needed, free }) } else { Ok(()) }
}

/// What was cut. Dropped without [`Cuts::stay`], each file gets back what it had: a restore that fails leaves nothing of itself.
#[derive(Debug)]
pub struct Cuts {
    cuts: Vec<Cut>,
    headway: Arc<Headway>,
}

#[derive(Debug)]
struct Cut {
    /// Open for writing.
    file: File,
    path: PathBuf,
    at: u64,
    kept: PathBuf,
}

impl Cuts {
    /// Leaves the files as they are now: the tree goes on.
    pub fn stay(mut self) {
        self.cuts.clear();
    }

    fn one(
        &mut self,
        file: &VolumeFile,
        found: u64,
        place: &Place,
        volumes: &Volumes,
    ) -> Result<(), OpenFileError> {
        let path = &file.path;
        let open = open(path, volumes).map_err(io_at("open", path))?;
        let kept = keep(&open, file, place)?;
        // From now on a failure puts it back.
        self.cuts.push(Cut { file: open, path: path.clone(), at: file.size, kept });
        let cut = &self.cuts[self.cuts.len() - 1];
        cut.file.set_len(file.size).and_then(|()| cut.file.sync_all()).map_err(io_at("cut", path))?;
        tracing::warn!(
            step = "restore",
            "{} had {found} bytes and is cut to the {} that the program remembers, since it writes the rest again; that is \
             kept in {} as long as the checkpoint",
            path.display(),
            file.size,
            place.hold.dir().told_cut(place.generation, &name_of(&cut.kept))
        );
        Ok(())
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        // Another program may append to them by now.
        let undone = if self.headway.is_disowned() { Vec::new() } else { std::mem::take(&mut self.cuts) };
        for cut in undone {
            match cut.put_back() {
                Ok(()) => tracing::info!("{} has again what was cut from it", cut.path.display()),
                Err(error) => tracing::error!(
                    "what was cut from {} cannot be put back ({error}); it is in {}",
                    cut.path.display(),
                    cut.kept.display()
                ),
            }
        }
    }
}

impl Cut {
    fn put_back(&self) -> io::Result<()> {
        let mut file = &self.file;
        let length = file.metadata()?.len();
        if length < self.at {
            return Err(io::Error::other(format!("it has {length} bytes now")));
        }
        // Cutting it may have failed.
        if length == self.at {
            file.seek(SeekFrom::Start(self.at))?;
            io::copy(&mut File::open(&self.kept)?, &mut file)?;
            file.sync_all()?;
        }
        fs::remove_file(&self.kept)
    }
}

/// Opens a file for writing without following a link below its volume, which others may write to.
fn open(path: &Path, volumes: &Volumes) -> io::Result<File> {
    let not_on_one = || io::Error::other("it is on no volume here");
    let volume = volumes.of(path).ok_or_else(not_on_one)?;
    let below = path.strip_prefix(volume).unwrap_or(path);
    let found =
        if below == Path::new("") { no_links::open_file(path)? } else { no_links::file(volume, below)? };
    OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// How it is called, below the hold, until all of it is kept.
const PARTIAL: &str = "cut.partial";

/// Copies what is behind the length that `file` had to a file of its own, whose name tells from where it is.
fn keep(mut open: &File, file: &VolumeFile, place: &Place) -> Result<PathBuf, OpenFileError> {
    let io = io_at("keep what is behind the end of", &file.path);
    let (partial, kept) = (place.hold.path().join(PARTIAL), place.unused(file));
    open.seek(SeekFrom::Start(file.size)).map_err(&io)?;
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let mut target = made.map_err(|error| place.hold.explain("create", &partial, error))?;
    let copied = io::copy(&mut open, &mut target).and_then(|_| target.sync_all());
    copied.inspect_err(|_| drop(fs::remove_file(&partial))).map_err(&io)?;
    let renamed = place.hold.keep_cut(PARTIAL, place.generation, &name_of(&kept));
    renamed.map_err(|error| place.hold.explain("write", &kept, error))?;
    Ok(kept)
}

fn name_of(kept: &Path) -> String {
    kept.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Place {
    fn directory(&self) -> PathBuf {
        self.hold.dir().cut(self.generation)
    }

    /// A name for what is cut from `file`, as text, since what is none cannot be a name in a bucket. Only the holder makes any, so it
    /// stays unused.
    fn unused(&self, file: &VolumeFile) -> PathBuf {
        let name = escape(file.path.file_name().unwrap_or_default());
        let path = |number: u64| self.directory().join(format!("{name}.from-{}.{number}", file.size));
        (1..).map(path).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| path(0))
    }
}

#[cfg(test)]
mod tests {
    use crik_store::image_dir::fixture::{everywhere, held, wish};
    use crik_store::image_dir::hold::{Wish, newest};

    use super::*;

    /// Whether a file that had 4 bytes and now has `found` is to be cut.
    fn judged(access: Access, found: usize, rules: Rules) -> Result<bool, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, vec![b'x'; found]).unwrap();
        let told = behind(&VolumeFile { path, size: 4, modified: 1, access }, rules);
        told.map(|cut| cut.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_the_program_writes_again_is_cut() {
        let [again, others] =
            [true, false].map(|ran_on| Rules { ran_on, changed_files: ChangedFiles::Follow });
        for access in [Access::Read, Access::Execute, Access::Append, Access::Write] {
            assert_eq!(judged(access, 4, again), Ok(false));
        }
        assert_eq!(judged(Access::Write, 5, others), Ok(true));
        assert_eq!(judged(Access::Append, 5, again), Ok(true));
        assert_eq!(judged(Access::Append, 5, others), Ok(false), "others wrote it");
        assert_eq!(judged(Access::Append, 3, again), Ok(false), "a log that was rotated");
        assert!(judged(Access::Write, 3, again).unwrap_err().contains("has 3 bytes, and 4 when"));
    }

    #[test]
    fn what_is_only_read_may_have_grown_as_the_user_says() {
        let [follow, refuse] = [ChangedFiles::Follow, ChangedFiles::Refuse]
            .map(|changed_files| Rules { ran_on: true, changed_files });
        assert_eq!(judged(Access::Read, 5, follow), Ok(false));
        assert!(judged(Access::Read, 3, follow).unwrap_err().contains("has 3 bytes, and 4 when"));
        assert!(
            judged(Access::Read, 4, refuse).unwrap_err().contains("see changedFiles"),
            "its time is another"
        );
        assert!(
            judged(Access::Execute, 5, follow).unwrap_err().contains("which the program runs, was changed")
        );
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let file = VolumeFile { path: "/no/such/file".into(), size: 1, modified: 1, access: Access::Read };
        let told = behind(&file, Rules { ran_on: true, changed_files: ChangedFiles::Follow })
            .unwrap_err()
            .to_string();
        assert!(told.starts_with("/no/such/file, which the program had open, is not there"), "{told}");
    }

    /// A file that had 4 bytes and has 10, and where what is cut from it is kept.
    fn grown() -> ([tempfile::TempDir; 2], VolumeFile, Place) {
        let (image_dir, hold) = held();
        let (volume, file, place) = grown_beside(hold);
        ([image_dir, volume], file, place)
    }

    fn grown_beside(hold: Arc<Hold>) -> (tempfile::TempDir, VolumeFile, Place) {
        let volume = tempfile::tempdir().unwrap();
        let path = volume.path().join("out");
        fs::write(&path, "0123456789").unwrap();
        let file = VolumeFile { path, size: 4, modified: 1, access: Access::Write };
        let rules = Rules { ran_on: true, changed_files: ChangedFiles::Follow };
        let place = Place { hold, generation: Generation(7), rules };
        make_room(&[(&file, 10)], &place).unwrap();
        (volume, file, place)
    }

    #[test]
    fn what_was_cut_is_put_back_unless_it_stays() {
        let (_volume, file, place) = grown();
        let path = &file.path;
        let open = || OpenOptions::new().read(true).write(true).open(path).unwrap();
        let cut = || {
            let (open, kept) = (open(), keep(&open(), &file, &place).unwrap());
            open.set_len(4).unwrap();
            let cut = Cut { file: open, path: path.clone(), at: 4, kept: kept.clone() };
            (kept, Cuts { cuts: vec![cut], headway: Arc::default() })
        };
        let (kept, cuts) = cut();
        drop(cuts);
        assert_eq!(fs::read_to_string(path).unwrap(), "0123456789");
        assert!(!kept.exists());
        let (kept, cuts) = cut();
        cuts.stay();
        assert_eq!(fs::read_to_string(path).unwrap(), "0123");
        assert_eq!(fs::read_to_string(kept).unwrap(), "456789");
    }

    #[test]
    fn what_there_is_no_room_to_keep_is_not_cut() {
        let (_volume, file, place) = grown();
        let error = make_room(&[(&file, u64::MAX)], &place).unwrap_err().to_string();
        assert!(error.contains("which the volume has no room to keep beside it"), "{error}");
    }

    #[test]
    fn who_has_lost_the_image_directory_cuts_nothing() {
        everywhere(|image_dir| {
            let (_volume, file, place) = grown_beside(image_dir.held());
            lost(&file, &place);
        });
    }

    fn lost(file: &VolumeFile, place: &Place) {
        let dir = place.hold.dir();
        let taker = Wish { expired: newest(dir).unwrap().map(|seen| seen.number), ..wish("job-0-again") };
        let _taken = Hold::take(dir, &taker).unwrap();
        let error = keep(&File::open(&file.path).unwrap(), file, place).unwrap_err().to_string();
        assert!(error.contains("is held by job-0-again"), "{error}");
        // Nor is anything kept where the next one would find it.
        dir.bring_cut(place.generation).unwrap();
        assert_eq!(fs::read_dir(place.directory()).into_iter().flatten().count(), 0);
    }
}
