//! Files of ConfigMaps, Secrets, projected tokens and the downward API: the next pod's in place of this one's.
//!
//! The kubelet writes such a volume into a directory that is named after the time, `..2026_11_25_15_30_00.123`, to which the link
//! `..data` beside it leads; at an update it makes another one and turns the link (Kubernetes, pkg/volume/util/atomic_writer.go).
//! A file that is open is open in the directory of that time, and the next pod has another one.
//!
//! Without crik a program goes on to read what it has opened, whatever the volume holds by then. So new contents are put under it
//! only if what it has read so far is still the same; a shell that reads its script line by line would go on in the middle of
//! another one.
//!
//! A file whose directory the kubelet has removed since, at an update, has no name any more, and its contents are in the image. The
//! program keeps them, as it does without crik.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crik_store::generation::digest::{self, FileDigest};
use crik_store::generation::open_files::DELETED;
use crik_store::generation::tree_facts::KubeletFile;
use thiserror::Error;

use crate::config::ChangedFiles;
use crate::tree::criu::images::{self, Damage, FilesImage, ImageError, RegularFile, Renamed};
use crate::tree::process::snapshot::Tree;

/// The link to what is current.
const CURRENT: &str = "..data";

/// Why a file cannot be opened here.
#[derive(Debug, Error)]
pub enum KubeletFileError {
    /// The new pod does not have it.
    #[error(
        "the program has {path} open, and this pod has no {now} ({source}); keep the key in the ConfigMap or Secret, or let the \
         program close the file"
    )]
    Missing {
        /// Its path at the checkpoint.
        path: PathBuf,
        /// Where it would be here.
        now: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// It has other contents, and the program is not to go on with them.
    #[error(
        "the program has {path} open, and {now} here has other contents{part}; to go on from there, give the ConfigMap or Secret \
         its contents of that time{remedy}"
    )]
    Changed {
        /// Its path at the checkpoint.
        path: PathBuf,
        /// Where it is here.
        now: PathBuf,
        /// Which part it is about.
        part: &'static str,
        /// What else can be done.
        remedy: &'static str,
    },
    /// The image is not what CRIU writes.
    #[error("its image of open files is damaged: {0}")]
    Damaged(Damage),
}

impl From<Damage> for KubeletFileError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// The files of that kind in the images of `tree` that were just written to a directory, with their contents; also of those that have no
/// name any more.
///
/// # Errors
/// The images cannot be read.
pub fn of(images: &Path, tree: &Tree) -> Result<Vec<KubeletFile>, ImageError> {
    let files = images::open_files(images)?.regular_files().map_err(|what| images::damaged(images, what))?;
    let ours: Vec<RegularFile> = files.into_iter().filter(|file| place(&file.path).is_some()).collect();
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let mapped = images::mapped_files(images)?;
    let found = |path: &Path| if path.exists() { Some(path.to_owned()) } else { unnamed(path, tree) };
    Ok(with_contents(&ours, |id| mapped.contains(&id.into()), found))
}

/// Where a file that had this name can still be read: where a process has it open or mapped.
fn unnamed(path: &Path, tree: &Tree) -> Option<PathBuf> {
    let mut shown = path.as_os_str().to_owned();
    shown.push(DELETED);
    let places = tree.0.iter().flat_map(|process| {
        ["fd", "map_files"].into_iter().map(move |kind| format!("/proc/{}/{kind}", process.pid))
    });
    let mut open = places
        .flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten())
        .map(|entry| entry.path());
    open.find(|open| fs::read_link(open).is_ok_and(|link| link == *shown))
}

/// Where each can be read says `found`.
fn with_contents(
    files: &[RegularFile],
    is_mapped: impl Fn(u32) -> bool,
    found: impl Fn(&Path) -> Option<PathBuf>,
) -> Vec<KubeletFile> {
    let mut read_until: BTreeMap<&Path, u64> = BTreeMap::new();
    for file in files.iter().filter(|file| file.size.is_some()) {
        // What is mapped may have been read to its end.
        let read = if is_mapped(file.id) { u64::MAX } else { file.position };
        read_until.entry(&file.path).and_modify(|most| *most = read.max(*most)).or_insert(read);
    }
    let recorded = |(path, read)| recorded(path, &found(path)?, read).ok();
    read_until.into_iter().filter_map(recorded).collect()
}

fn recorded(path: &Path, found: &Path, read: u64) -> io::Result<KubeletFile> {
    let whole = digest::hash_file(found)?;
    let read = beginning(found, read.min(whole.size))?;
    Ok(KubeletFile { path: path.into(), whole, read })
}

/// The digest of the first `bytes` of a file, or of all that it has.
fn beginning(path: &Path, bytes: u64) -> io::Result<FileDigest> {
    digest::hash_reader(File::open(path)?.take(bytes))
}

/// Files without a name, which CRIU makes anew.
pub struct Unnamed<'a> {
    /// Their numbers.
    pub files: &'a BTreeSet<u32>,
    /// A directory in which that is possible; nothing can be made where the kubelet writes.
    pub directory: &'a Path,
}

/// Gives every file of an image that the kubelet wrote its name in this pod.
///
/// # Errors
/// One is not here, or has contents with which the program cannot go on as `changed` says.
pub fn put_into(
    files: &mut FilesImage,
    recorded: &[KubeletFile],
    unnamed: &Unnamed<'_>,
    changed: ChangedFiles,
) -> Result<(), KubeletFileError> {
    files.rename(|file| {
        let Some(place) = place(&file.path) else { return Ok(None) };
        let known = recorded.iter().find(|known| known.path == file.path);
        if unnamed.files.contains(&file.id) {
            compare(file, place.now(), known, changed)?;
            return Ok(Some(Renamed { path: unnamed.directory.join(place.flat()), size: None }));
        }
        // Another thing that is only called so stays as it is.
        let Some(now) = place.now() else { return Ok(None) };
        renamed(file, now, known, changed)
    })
}

/// Whether a program goes on with contents of its own, when those here are others.
fn compare(
    file: &RegularFile,
    now: Option<PathBuf>,
    known: Option<&KubeletFile>,
    changed: ChangedFiles,
) -> Result<(), KubeletFileError> {
    let (Some(now), Some(known)) = (now, known) else { return Ok(()) };
    let same = digest::hash_file(&now).map(|whole| whole == known.whole);
    match (changed, same) {
        (_, Ok(true)) => {}
        (ChangedFiles::Follow, _) => tracing::info!(
            "{} was updated after the program had opened it; it goes on with what it has open",
            file.path.display()
        ),
        (ChangedFiles::Refuse, Ok(false)) => {
            let (path, part, remedy) = (file.path.clone(), "", ", or see changedFiles");
            return Err(KubeletFileError::Changed { path, now, part, remedy });
        }
        (ChangedFiles::Refuse, Err(source)) => {
            return Err(KubeletFileError::Missing { path: file.path.clone(), now, source });
        }
    }
    Ok(())
}

fn renamed(
    file: &RegularFile,
    now: PathBuf,
    known: Option<&KubeletFile>,
    changed: ChangedFiles,
) -> Result<Option<Renamed>, KubeletFileError> {
    let missing = |source| KubeletFileError::Missing { path: file.path.clone(), now: now.clone(), source };
    let found = fs::metadata(&now).map_err(missing)?;
    // A directory has no contents of its own, and a file that no name leads to any more is in the image.
    let (Some(size), Some(known)) = (file.size, known) else {
        return Ok((now != file.path).then_some(Renamed { path: now, size: None }));
    };
    let (whole, same_beginning) = digest::hash_file(&now)
        .and_then(|whole| Ok((whole, beginning(&now, known.read.size)? == known.read)))
        .map_err(missing)?;
    let refuse = |part, remedy| {
        Err(KubeletFileError::Changed { path: file.path.clone(), now: now.clone(), part, remedy })
    };
    match changed {
        _ if whole == known.whole => {}
        ChangedFiles::Refuse => return refuse("", ", or see changedFiles"),
        ChangedFiles::Follow if same_beginning => {
            tracing::warn!(
                "{} has other contents than at the checkpoint; the program goes on with them",
                now.display()
            );
        }
        ChangedFiles::Follow => return refuse(" in the part that the program has read already", ""),
    }
    let size = (found.len() != size).then_some(found.len());
    Ok((now != file.path || size.is_some()).then_some(Renamed { path: now, size }))
}

/// Where a file is in such a volume.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    volume: &'a Path,
    inside: &'a Path,
}

/// Whether a path is that of a file which the kubelet writes.
pub fn is_one(path: &Path) -> bool {
    place(path).is_some()
}

/// The same file or directory by the link to what is current, so that the next pod has it under this name too. With a slash at its
/// end if it is the directory with the time itself, for which the link would be taken otherwise.
pub fn by_link(path: &Path) -> Option<PathBuf> {
    let place = place(path)?;
    let by_link = place.volume.join(CURRENT).join(place.inside);
    let same = |one: fs::Metadata, other: fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    let found = fs::symlink_metadata(&by_link).ok().zip(fs::symlink_metadata(path).ok());
    found.is_some_and(|(one, other)| same(one, other)).then_some(by_link)
}

/// Finds the directory with the time in a path.
fn place(path: &Path) -> Option<Place<'_>> {
    let dated = path.ancestors().find(|part| part.file_name().is_some_and(is_date))?;
    Some(Place { volume: dated.parent()?, inside: path.strip_prefix(dated).ok()? })
}

impl Place<'_> {
    /// Its path as one name. CRIU makes files of the same name one after the other.
    fn flat(&self) -> String {
        let path = self.volume.join(self.inside);
        path.display().to_string().trim_start_matches('/').replace('/', "-")
    }

    /// The same file in this pod; none if there is no such volume.
    fn now(&self) -> Option<PathBuf> {
        let current = fs::read_link(self.volume.join(CURRENT)).ok()?;
        let mut parts = current.components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(name)), None) => Some(self.volume.join(name).join(self.inside)),
            _ => None,
        }
    }
}

/// Whether a name is that of a directory with the time: `..` and the time to the second, then a dot and any digits.
fn is_date(name: &OsStr) -> bool {
    let shape = |time: &str| {
        let parts: Vec<&str> = time.split('_').collect();
        parts.iter().map(|part| part.len()).eq([4, 2, 2, 2, 2, 2])
            && parts.concat().bytes().all(|byte| byte.is_ascii_digit())
    };
    let time = name.to_str().and_then(|name| name.strip_prefix("..")?.split_once('.'));
    time.is_some_and(|(time, rest)| shape(time) && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const THEN: &str = "..2026_01_01_00_00_00.1";
    const NOW: &str = "..2026_11_25_15_30_00.4221";

    /// A volume of one pod, and of the next with these contents.
    fn volume(now: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (date, contents) in [(THEN, "one two three"), (NOW, now)] {
            fs::create_dir(dir.path().join(date)).unwrap();
            fs::write(dir.path().join(date).join("run.sh"), contents).unwrap();
        }
        symlink(NOW, dir.path().join(CURRENT)).unwrap();
        dir
    }

    fn open(dir: &tempfile::TempDir, position: u64) -> RegularFile {
        RegularFile { id: 1, path: dir.path().join(THEN).join("run.sh"), position, size: Some(13) }
    }

    fn outcome(
        now: &str,
        position: u64,
        mapped: bool,
        changed: ChangedFiles,
    ) -> Result<Option<Option<u64>>, KubeletFileError> {
        let dir = volume(now);
        let file = open(&dir, position);
        let known = with_contents(std::slice::from_ref(&file), |_| mapped, |path| Some(path.into()));
        let renamed = renamed(&file, place(&file.path).unwrap().now().unwrap(), known.first(), changed)?;
        assert!(renamed.iter().all(|renamed| renamed.path == dir.path().join(NOW).join("run.sh")));
        Ok(renamed.map(|renamed| renamed.size))
    }

    #[test]
    fn the_same_contents_are_found_under_the_new_name() {
        assert_eq!(outcome("one two three", 4, false, ChangedFiles::Refuse).unwrap(), Some(None));
    }

    #[test]
    fn other_contents_are_followed_where_the_read_part_is_the_same() {
        assert_eq!(outcome("one 2 and 3", 4, false, ChangedFiles::Follow).unwrap(), Some(Some(11)));
        assert_eq!(outcome("completely different", 0, false, ChangedFiles::Follow).unwrap(), Some(Some(20)));
    }

    #[test]
    fn other_contents_are_refused_in_what_was_read() {
        for (now, position) in [("1 two three", 4), ("on", 4), ("", 1)] {
            let error = outcome(now, position, false, ChangedFiles::Follow).unwrap_err().to_string();
            assert!(error.contains("in the part that the program has read"), "{error}");
        }
        assert!(
            outcome("one two 3", 0, true, ChangedFiles::Follow).is_err(),
            "what is mapped counts as read"
        );
        let error = outcome("one two four", 0, false, ChangedFiles::Refuse).unwrap_err().to_string();
        assert!(error.contains("run.sh here has other contents; to go on"), "{error}");
    }

    #[test]
    fn a_key_that_is_gone_is_named() {
        let dir = volume("x");
        fs::remove_file(dir.path().join(NOW).join("run.sh")).unwrap();
        let file = open(&dir, 0);
        let now = place(&file.path).unwrap().now().unwrap();
        let error = renamed(&file, now, None, ChangedFiles::Follow).unwrap_err().to_string();
        assert!(error.contains("..2026_11_25_15_30_00.4221/run.sh (No such file or directory"), "{error}");
    }

    #[test]
    fn only_the_kubelets_directories_count() {
        let path = Path::new("/scripts/..2026_01_01_00_00_00.1/a/b");
        let expected = Place { volume: Path::new("/scripts"), inside: Path::new("a/b") };
        assert_eq!(place(path), Some(expected));
        for path in ["/scripts/..data/b", "/a/../b", "/a/..2026/b", "/a/2026_01_01_00_00_00.1/b", "/", ""] {
            assert_eq!(place(Path::new(path)), None, "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        symlink("../elsewhere", dir.path().join(CURRENT)).unwrap();
        assert_eq!(Place { volume: dir.path(), inside: Path::new("x") }.now(), None);
    }
}
