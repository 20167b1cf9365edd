//! Copies a generation into another image directory: from a volume to a bucket or back, from files to chunks or back. Everything is compared
//! with what was committed while it is read.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};
use crate::generation::commit::{CommitError, commit};
use crate::generation::digest::FileDigest;
use crate::generation::keys::GenerationKeys;
use crate::generation::manifest::{Manifest, WITHOUT_STREAMS};
use crate::generation::open_files::{DELETED, Kept, UnnamedFile};
use crate::generation::parts::{NewParts, Parts};
use crate::generation::streams::{self, Proven, StreamsWriter};
use crate::generation::verify::{self, Trust, VerifyError};
use crate::image_dir::hold::Hold;
use crate::image_dir::staging::{Purpose, Staging};
use crate::image_dir::{Generation, ImageDir, ImageDirError, layout};

/// Why a generation was not copied. Nothing of it is in the other image directory.
#[derive(Debug, Error)]
pub enum CopyError {
    /// It is not what was committed, or cannot be read.
    #[error(transparent)]
    Source(#[from] VerifyError),
    /// Its copy would not be, and refused where the key is.
    #[error("it is signed; name the configuration that has signingKeyFile (--config-path)")]
    Signed,
    /// Its additional files have attributes that are no part of the manifest's second form.
    #[error("an earlier release of crik made it; let a pod resume it, and copy its next checkpoint")]
    Earlier,
    /// A file of the volume is kept by a link, which leads to no other volume.
    #[error(
        "its program had {0} open, a file of the volume that has lost this name: it can only be resumed where it is"
    )]
    Linked(String),
    /// A part cannot be written.
    #[error("its part {name} cannot be written: {source}")]
    Write {
        /// The part.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The other image directory fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
    /// It was not committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl HasOutlook for CopyError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Source(error) => error.outlook(),
            Self::Write { source, .. } => source.outlook(),
            Self::Volume(error) => error.outlook(),
            Self::Commit(error) => error.outlook(),
            Self::Signed | Self::Earlier | Self::Linked(_) => Outlook::Lasting,
        }
    }
}

/// Where generations are copied to.
pub struct Target<'a> {
    /// Who holds the other image directory.
    pub hold: &'a Arc<Hold>,
    /// What vouches for generations, and what they are encrypted with, in both.
    pub keys: &'a GenerationKeys,
    /// The first that was copied there by now: its chunks are known to be what their names say.
    pub first: Option<Generation>,
}

/// Copies a generation, under its number. `done` is told of bytes as they are read.
///
/// # Errors
/// It is not whole, or cannot be written there.
pub fn copy(
    (from, generation): (&ImageDir, Generation),
    to: &Target<'_>,
    in_chunks: bool,
    done: &dyn Fn(u64),
) -> Result<Manifest, CopyError> {
    let (path, manifest) =
        Manifest::brought(from, generation, to.keys.signing.as_ref()).map_err(VerifyError::from)?;
    if to.keys.signing.is_none() && path.join(layout::SIGNATURE).exists() {
        return Err(CopyError::Signed);
    }
    let trust = Trust { key: to.keys.signing.as_ref(), image_dir: from.root() };
    verify::belongs(&path, &manifest, &trust)?;
    refuse(&manifest)?;
    let headway = Arc::<Headway>::default();
    let reader = streams::reader(&path, from, &manifest, (to.keys.encryption.as_deref(), &headway))?;
    let staging = Staging::new(to.hold, Purpose::Stop);
    let copied = stage(&staging, to, in_chunks, &headway).and_then(|new| {
        let (parts, streams) = (Parts::new(&path, reader), new.1.clone());
        copy_parts((&parts, &manifest), &new, done)?;
        let manifest = Manifest { image_dir: Some(to.hold.dir().root().to_owned()), ..manifest };
        Ok(commit(&staging, (manifest, streams), to.keys.signing.as_ref(), &headway)?)
    });
    if copied.is_err() {
        let _ = staging.sweep();
    }
    copied
}

fn refuse(manifest: &Manifest) -> Result<(), CopyError> {
    if manifest.version < WITHOUT_STREAMS {
        return Err(CopyError::Earlier);
    }
    let linked = manifest.unnamed_files.iter().find(|file| matches!(file.kept, Kept::Linked(_)));
    let name = |file: &UnnamedFile| file.name.display().to_string().trim_end_matches(DELETED).to_owned();
    linked.map_or(Ok(()), |file| Err(CopyError::Linked(name(file))))
}

/// The files of a generation that is made, and its streams if it has such.
type New = (NewParts, Option<Arc<StreamsWriter>>);

fn stage(
    staging: &Staging,
    to: &Target<'_>,
    in_chunks: bool,
    headway: &Arc<Headway>,
) -> Result<New, CopyError> {
    let path = staging.make()?;
    let proven = Proven { own: to.first, ..Proven::default() };
    let begin = || StreamsWriter::begin(staging, (to.keys, &proven), None, headway).map(Arc::new);
    let failed = |source| CopyError::Write { name: layout::PACKS.to_owned(), source };
    let streams = in_chunks.then(begin).transpose().map_err(failed)?;
    Ok((NewParts::new(path, None), streams))
}

fn copy_parts(
    (parts, manifest): (&Parts, &Manifest),
    (files, streams): &New,
    done: &dyn Fn(u64),
) -> Result<(), CopyError> {
    let streamed = streams.clone().map(|streams| NewParts::new(files.staging(), Some(streams)));
    let of_streams = manifest.streams.iter().flat_map(|streams| streams.sizes.keys());
    let of_files =
        manifest.files.keys().filter(|name| ![layout::INDEX, layout::PACK_LIST].contains(&name.as_str()));
    for name in of_streams.chain(of_files) {
        let target = streamed.as_ref().filter(|_| !is_log(name)).unwrap_or(files);
        copy_part(parts, (name, manifest.files.get(name)), target, done)?;
    }
    Ok(())
}

/// What CRIU has said is for people, and a file in any form.
fn is_log(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "log")
}

/// Chunks are compared as they are read; of a file that is done here.
fn copy_part(
    parts: &Parts,
    (name, committed): (&String, Option<&FileDigest>),
    target: &NewParts,
    done: &dyn Fn(u64),
) -> Result<(), CopyError> {
    let read = |source| VerifyError::Read { name: name.clone(), source };
    let write = |source| CopyError::Write { name: name.clone(), source };
    let (mut from, mut to) = (parts.open(name).map_err(read)?, target.create(name).map_err(write)?);
    let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; limits::READ_PIECE_BYTES]);
    let mut size = 0;
    loop {
        let bytes = match from.read(&mut piece) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read_some => &piece[..read_some.map_err(read)?],
        };
        hasher.update(bytes);
        size += bytes.len() as u64;
        to.write_all(bytes).map_err(write)?;
        done(bytes.len() as u64);
    }
    to.finish().map_err(write)?;
    let found = FileDigest { size, blake3: hasher.finalize().to_hex().to_string() };
    match committed.is_none_or(|committed| *committed == found) {
        true => Ok(()),
        false => Err(VerifyError::Altered { name: name.clone() }.into()),
    }
}

#[cfg(test)]
mod tests;
