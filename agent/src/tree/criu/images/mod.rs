//! Reads what CRIU wrote: which processes an image holds, with their memory, files and sockets.
//!
//! An image file is two magic numbers of 32 bits and then records, each its length in 32 bits and a protobuf message
//! (CRIU's documentation, «Images»; the messages are in its `images/*.proto`). Of each message only the fields that are
//! shown are declared. The numbers are those of a volume that anybody may have written: lengths are checked, and what is not
//! known is skipped.

mod file_locks;
mod files_image;
mod irmap;
mod messages;
mod records;
mod sockets;
mod tcp_stream;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use prost::Message;
use serde::Serialize;
use thiserror::Error;

use crate::base::kernel_pages::page_bytes;
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};
pub use file_locks::{FileLocks, LOCKS_IMAGE};
pub use files_image::{Damage, FILES_IMAGE, FilesImage, RegularFile, Renamed};
pub use irmap::{PATHS_FILE, paths_file};
pub use messages::FileLock;
pub use records::split;

use messages::{Core, FdInfo, FileEntry, GHOST, Ids, Memory, Pagemap, PagemapHead, PsTree, Remap, Segment};
pub use sockets::{Inet, IpOptions, Unix};
pub use tcp_stream::{STREAM_IMAGE, TcpStream};

/// Of the mode of System V's shared memory (linux/shm.h): it goes with the last who has it mapped.
const SHM_DEST: u32 = 0o1000;

/// Why an image cannot be read.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what CRIU writes.
    #[error("{path} is damaged: {what}; crik verify tells what was altered")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl HasOutlook for ImageError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Io { source, .. } => source.outlook(),
            Self::Damaged { .. } => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.is_of_the_volume())
    }
}

/// Whether an image of this name is one of memory, which nearly all bytes are in.
pub fn is_of_memory(name: &str) -> bool {
    name.starts_with("pages-")
}

/// A process in an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageProcess {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// The id of its session.
    pub session: u32,
    /// Its name, as ps shows it.
    pub name: String,
    /// How many threads it has.
    pub threads: usize,
    /// Bytes of its memory in the image.
    pub memory: u64,
    /// What it has open.
    pub files: Vec<OpenFile>,
}

/// An open file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenFile {
    /// Its descriptor.
    pub fd: u32,
    /// What it is: `file`, `pipe`, `inet`, `unix`…
    pub kind: &'static str,
    /// Which one.
    pub what: String,
}

/// The processes of the images in `directory`, each after its parent.
///
/// # Errors
/// An image is missing or damaged.
pub fn processes(directory: &Path) -> Result<Vec<ImageProcess>, ImageError> {
    let images = Images(directory);
    let files: BTreeMap<u32, FileEntry> =
        images.all(FILES_IMAGE)?.into_iter().map(|file: FileEntry| (file.id, file)).collect();
    let tree: Vec<PsTree> = images.all("pstree.img")?;
    tree.into_iter().map(|one| images.process(&one, &files)).collect()
}

/// All ids that must be free to restore the images in `directory`: of processes and threads, and of groups and sessions, for which CRIU
/// makes a process if their leader is gone.
///
/// # Errors
/// An image is missing or damaged.
pub fn ids(directory: &Path) -> Result<BTreeSet<i32>, ImageError> {
    let tree: Vec<PsTree> = Images(directory).all("pstree.img")?;
    let ids = tree.into_iter().flat_map(|one| [vec![one.pid, one.group, one.session], one.threads].concat());
    Ok(ids.filter_map(|id| i32::try_from(id).ok()).collect())
}

/// The numbers of the open files in the images in `directory` to which no name leads any more, so that the images have their contents. CRIU
/// makes them anew where their last name was.
///
/// # Errors
/// An image is damaged.
pub fn unnamed(directory: &Path) -> Result<BTreeSet<u32>, ImageError> {
    let remaps: Vec<Remap> = Images(directory).all_or_none("remap-fpath.img")?;
    Ok(remaps.into_iter().filter(|remap| remap.kind == GHOST).map(|remap| remap.file).collect())
}

/// The ids of System V's shared memory in an image in `directory` that had been removed and was mapped still. CRIU makes it anew as if it had
/// not been.
///
/// # Errors
/// The image is damaged.
pub fn removed_memory(directory: &Path, name: &str) -> Result<Vec<i32>, ImageError> {
    let segments: Vec<Segment> = Images(directory).all_or_none(name)?;
    let removed = segments.into_iter().filter(|segment| segment.about.mode & SHM_DEST != 0);
    Ok(removed.map(|segment| segment.about.id.cast_signed()).collect())
}

/// The image of all open files in `directory`.
///
/// # Errors
/// It is missing or damaged.
pub fn open_files(directory: &Path) -> Result<FilesImage, ImageError> {
    let path = directory.join(FILES_IMAGE);
    let bytes = File::open(&path).and_then(read_bounded).map_err(|source| ImageError::Io { path, source })?;
    FilesImage::parse(&bytes).map_err(|what| damaged(directory, what))
}

/// The numbers of the files that processes of the images in `directory` have mapped or execute, and of some other things.
///
/// # Errors
/// An image is missing or damaged.
pub fn mapped_files(directory: &Path) -> Result<BTreeSet<u64>, ImageError> {
    let images = Images(directory);
    let mut mapped = BTreeSet::new();
    for process in images.all::<PsTree>("pstree.img")? {
        // A zombie has no memory.
        let memory: Option<Memory> = images.first(&format!("mm-{}.img", process.pid))?;
        if let Some(memory) = memory {
            mapped.extend(memory.areas.iter().map(|area| area.file).chain([memory.program.into()]));
        }
    }
    Ok(mapped)
}

/// Reads the contents of an image other than pages.
///
/// # Errors
/// It cannot be read.
pub fn read_bounded(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limits::METADATA_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The error for an image of open files that is none.
pub fn damaged(directory: &Path, what: Damage) -> ImageError {
    ImageError::Damaged { path: directory.join(FILES_IMAGE), what }
}

struct Images<'a>(&'a Path);

impl Images<'_> {
    fn process(&self, one: &PsTree, files: &BTreeMap<u32, FileEntry>) -> Result<ImageProcess, ImageError> {
        let core: Option<Core> = self.first(&format!("core-{}.img", one.pid))?;
        let task = core.and_then(|core| core.task);
        Ok(ImageProcess {
            pid: one.pid,
            parent: one.parent,
            session: one.session,
            // A zombie has nothing else.
            name: task.map_or_else(|| "?".to_owned(), |task| task.name),
            threads: one.threads.len().max(1),
            memory: self.memory(one.pid)?,
            files: self.files(one.pid, files)?,
        })
    }

    fn memory(&self, pid: u32) -> Result<u64, ImageError> {
        let records = self.records(&format!("pagemap-{pid}.img"))?.unwrap_or_default();
        let mut pages = 0_u64;
        for (number, record) in records.iter().enumerate() {
            if number == 0 {
                self.decode::<PagemapHead>("pagemap", record)?;
                continue;
            }
            let map: Pagemap = self.decode("pagemap", record)?;
            pages = pages.saturating_add(map.pages.unwrap_or(map.pages_of_old.into()));
        }
        Ok(pages.saturating_mul(page_bytes()))
    }

    fn files(&self, pid: u32, files: &BTreeMap<u32, FileEntry>) -> Result<Vec<OpenFile>, ImageError> {
        let Some(ids) = self.first::<Ids>(&format!("ids-{pid}.img"))? else { return Ok(Vec::new()) };
        let open: Vec<FdInfo> = self.all_or_none(&format!("fdinfo-{}.img", ids.files))?;
        let mut told: Vec<OpenFile> = open
            .iter()
            .map(|one| {
                let (kind, what) = files.get(&one.id).map_or(("?", String::new()), FileEntry::tell);
                OpenFile { fd: one.fd, kind, what }
            })
            .collect();
        told.sort_by_key(|file| file.fd);
        Ok(told)
    }

    fn first<T: Message + Default>(&self, name: &str) -> Result<Option<T>, ImageError> {
        let records = self.records(name)?.unwrap_or_default();
        records.first().map(|record| self.decode(name, record)).transpose()
    }

    fn all<T: Message + Default>(&self, name: &str) -> Result<Vec<T>, ImageError> {
        let missing = || ImageError::Io { path: self.0.join(name), source: io::ErrorKind::NotFound.into() };
        let records = self.records(name)?.ok_or_else(missing)?;
        records.iter().map(|record| self.decode(name, record)).collect()
    }

    fn all_or_none<T: Message + Default>(&self, name: &str) -> Result<Vec<T>, ImageError> {
        let records = self.records(name)?.unwrap_or_default();
        records.iter().map(|record| self.decode(name, record)).collect()
    }

    fn decode<T: Message + Default>(&self, name: &str, record: &[u8]) -> Result<T, ImageError> {
        T::decode(record)
            .map_err(|error| ImageError::Damaged { path: self.0.join(name), what: error.to_string() })
    }

    /// The records of an image; none if there is no such image.
    fn records(&self, name: &str) -> Result<Option<Vec<Vec<u8>>>, ImageError> {
        let path = self.0.join(name);
        match File::open(&path).and_then(read_bounded) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ImageError::Io { path, source }),
            Ok(bytes) => match split(&bytes) {
                Ok(records) => Ok(Some(records)),
                Err(what) => Err(ImageError::Damaged { path, what: what.to_owned() }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_images_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = processes(empty.path()).unwrap_err().to_string();
        assert!(error.contains("files.img"), "{error}");
    }
}
