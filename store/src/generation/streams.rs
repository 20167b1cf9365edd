//! The streams of a generation: what is too much to be written as it is, or must not be readable. They are written beside the dump and
//! read beside the restore.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::backend::Name;
use crate::backend::durable::create_private;
use crate::backend::no_links;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::base::retry::Unserved;
use crate::chunks::index::{Index, SecretId};
use crate::chunks::name::NameKey;
use crate::chunks::pack::PackPlace as _;
use crate::chunks::place::PackFiles;
use crate::chunks::read::{ChunkReader, Ciphers};
use crate::chunks::shared::Seal;
use crate::chunks::stream::StreamWriter;
use crate::chunks::sweep::Known;
use crate::chunks::write::{ChunkWriter, Storing};
use crate::encryption::cipher::ChunkCipher;
use crate::encryption::keys::EncryptionKeys;
use crate::generation::digest;
use crate::generation::keys::GenerationKeys;
use crate::generation::manifest::Manifest;
use crate::generation::secrets::{self, Secrets};
use crate::generation::stream_facts::{SecretFacts, StreamFacts};
use crate::generation::verify::VerifyError;
use crate::image_dir::packs::{InUse, Spared};
use crate::image_dir::staging::Staging;
use crate::image_dir::{Generation, ImageDir, layout};

/// Takes the streams of a generation that is made.
pub struct StreamsWriter {
    writer: ChunkWriter,
    name_key: NameKey,
    secrets: Secrets,
    encryption: Option<Arc<EncryptionKeys>>,
    staging: PathBuf,
    in_use: Mutex<Option<InUse>>,
}

/// What was stored for a checkpoint before it was begun. No sweep takes it away as long as this lives; by then it is needed by a generation
/// or is waste.
pub struct Warmed {
    stored: Stored,
    _spared: Spared,
    /// How many bytes it is of the streams.
    pub bytes: u64,
    /// How many bytes were written for it.
    pub new_bytes: u64,
}

impl fmt::Debug for Warmed {
    /// Without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warmed").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Warmed {
    /// Nothing that lies there as it is may be a part of what is encrypted.
    fn is_for(&self, keys: &GenerationKeys) -> bool {
        self.stored.1.own().is_some() == keys.encryption.is_some()
    }
}

/// How it is named and sealed, and what there is of it.
type Stored = (NameKey, Secrets, Arc<Index>);

impl StreamsWriter {
    /// For what is staged there, with what speed the volume is known to have, in bytes a second. What the generations have already of
    /// those that are proven and that the keys vouch for is not stored again.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn begin(
        staging: &Staging,
        (keys, proven): (&GenerationKeys, &Proven),
        volume: Option<f64>,
        headway: &Arc<Headway>,
    ) -> io::Result<Self> {
        let in_use = staging.hold().use_packs();
        let (path, dir) = (staging.path(), staging.hold().dir());
        let fresh = Some(staging.make_packs()?);
        let before = Before::of(dir, keys, proven)?;
        let place = Arc::new(packs(dir, fresh));
        let (names, headway) = (before.name_key.clone(), Arc::clone(headway));
        let image_dir = secrets::place_of(dir.root());
        let seal = before
            .secrets
            .own()
            .map(|own| Seal { cipher: ChunkCipher::new(own, &image_dir), secret: SecretId(own.id()) });
        let writer =
            ChunkWriter::begin(Storing { place, names, known: before.known, seal, volume, headway })?;
        let encryption = keys.encryption.clone();
        let (staging, in_use) = (path.to_owned(), Mutex::new(Some(in_use)));
        let (name_key, secrets) = (before.name_key, before.secrets);
        Ok(Self { writer, name_key, secrets, encryption, staging, in_use })
    }

    /// Begins a stream of this name.
    ///
    /// # Errors
    /// They are over.
    pub fn stream(&self, name: &str) -> io::Result<StreamWriter> {
        self.writer.stream(name)
    }

    /// Waits until all of it is durable, and stages the index for `generation` of the image directory that the manifest tells so. What may
    /// be referred to stays as long as the last of what is returned lives.
    ///
    /// # Errors
    /// It is not.
    pub fn finish(&self, manifest: &Manifest) -> io::Result<(StreamFacts, Option<InUse>)> {
        let stored = self.writer.finish()?;
        let place = secrets::place(manifest);
        let index = stored.index.encode().map_err(io::Error::other)?;
        if index.len() as u64 > limits::INDEX_MAX_BYTES {
            return Err(io::Error::other("it has too many chunks; use format: plain"));
        }
        let index = self.secrets.seal(index, (&place, manifest.generation));
        create_private(&self.staging.join(layout::INDEX), &index)?;
        let packs = stored.index.packs.iter().map(|pack| format!("{}\n", pack.name));
        create_private(&self.staging.join(layout::PACK_LIST), packs.collect::<String>().as_bytes())?;
        let index = &stored.index;
        let sizes = index.streams.iter().map(|stream| (stream.name.clone(), index.size(stream).unwrap_or(0)));
        let facts = StreamFacts {
            name_key: self.encryption.is_none().then(|| self.name_key.clone()),
            secrets: self.wrapped(index, (&place, manifest.generation))?,
            sizes: sizes.collect(),
            kept_bytes: index.chunks.iter().map(|chunk| u64::from(chunk.kept)).sum(),
            new_bytes: stored.new_bytes,
            codec: stored.codec,
        };
        Ok((facts, locked(&self.in_use).take()))
    }

    /// Waits until all of it is durable, and keeps it for a checkpoint that is to come. What was staged is not needed any more.
    ///
    /// # Errors
    /// It is not, or another pod holds the image directory now.
    pub fn warm(self, staging: &Staging) -> io::Result<Warmed> {
        let stored = self.writer.finish()?;
        let mut index = stored.index;
        let packs = index.packs.iter().map(|pack| pack.name.to_string());
        let spared = staging.hold().spare_packs(packs.collect());
        staging.share_packs().and_then(|()| staging.sweep()).map_err(io::Error::other)?;
        // What the streams were made of nobody reads.
        let streams = std::mem::take(&mut index.streams);
        let bytes = streams.iter().map(|stream| index.size(stream).unwrap_or(0)).sum();
        let stored_as = (self.name_key, self.secrets, Arc::new(index));
        Ok(Warmed { bytes, new_bytes: stored.new_bytes, _spared: spared, stored: stored_as })
    }

    fn wrapped(&self, index: &Index, place: (&[u8], Generation)) -> io::Result<Vec<SecretFacts>> {
        let Some(keys) = &self.encryption else { return Ok(Vec::new()) };
        self.secrets.wrapped(index, keys, place).map_err(io::Error::other)
    }
}

/// Of what each chunk is known to be what its name says. What is damaged in another generation would be damaged in all that refer to it,
/// which is found only when one of them is to be resumed.
#[derive(Debug, Clone, Default)]
pub struct Proven {
    /// The one from which the program was resumed: each chunk of it was compared then.
    pub resumed: Option<Generation>,
    /// The first that this pod has made since.
    pub own: Option<Generation>,
    /// What this pod has stored before.
    pub warmed: Vec<Arc<Warmed>>,
}

impl Proven {
    fn has(&self, generation: Generation) -> bool {
        self.resumed == Some(generation) || self.own.is_some_and(|first| first <= generation)
    }
}

/// What there is already, and how it is named and sealed.
struct Before {
    name_key: NameKey,
    secrets: Secrets,
    known: Known,
}

impl Before {
    /// As in the newest of those that are proven; what is named in another way, or cannot be read, is stored again.
    fn of(dir: &ImageDir, keys: &GenerationKeys, proven: &Proven) -> io::Result<Self> {
        let (mut newest, mut indexes, mut others) = (None, Vec::<Arc<Index>>::new(), Secrets::default());
        let generations = dir.list().map_err(|error| Unserved::told_by(&error))?;
        let committed = generations.into_iter().filter(|generation| proven.has(*generation));
        let committed = committed.filter_map(|generation| earlier(dir, generation, keys));
        let warmed = proven.warmed.iter().filter(|warmed| warmed.is_for(keys));
        let warmed = warmed.map(|warmed| warmed.stored.clone());
        for (name_key, secrets, index) in warmed.chain(committed.filter(|(.., index)| is_whole(dir, index))) {
            if newest.as_ref().is_some_and(|(newest, _)| *newest != name_key) {
                continue;
            }
            if newest.is_none() {
                let own = keys.encryption.is_some().then(|| secrets.following()).transpose();
                newest = Some((name_key, own.map_err(io::Error::other)?));
            }
            others.extend(secrets);
            indexes.push(index);
        }
        let (name_key, secrets) = match newest {
            Some((name_key, secrets)) => (name_key, secrets.unwrap_or_default()),
            None => first(keys)?,
        };
        let mut all = secrets;
        all.extend(others);
        Ok(Self { name_key, secrets: all, known: Known::of(indexes.iter().map(|index| &**index)) })
    }
}

/// How the first generation is named and sealed.
fn first(keys: &GenerationKeys) -> io::Result<(NameKey, Secrets)> {
    if keys.encryption.is_none() {
        return Ok((NameKey::random()?, Secrets::default()));
    }
    let secrets = Secrets::default().following().map_err(io::Error::other)?;
    let name_key = secrets.name_key().map_or_else(NameKey::random, Ok)?;
    Ok((name_key, secrets))
}

/// An earlier generation, if it is kept as a new one would be: for the same place, and encrypted or not.
fn earlier(dir: &ImageDir, generation: Generation, keys: &GenerationKeys) -> Option<Stored> {
    let (path, manifest) = Manifest::brought(dir, generation, keys.signing.as_ref()).ok()?;
    let streams = manifest.streams.as_ref()?;
    let is_here = keys.encryption.is_none() || secrets::place(&manifest) == secrets::place_of(dir.root());
    if streams.secrets.is_empty() != keys.encryption.is_none() || !is_here {
        return None;
    }
    let secrets = Secrets::of(&manifest, keys.encryption.as_deref()).ok()?;
    let name_key = streams.name_key.clone().or_else(|| secrets.name_key())?;
    let index = index(&path, &manifest, &secrets).ok()?;
    Some((name_key, secrets, Arc::new(index)))
}

/// Whether each of its packs is there, with all of its bytes.
fn is_whole(dir: &ImageDir, index: &Index) -> bool {
    let place = packs(dir, None);
    let bytes = |name| place.open(name).and_then(|pack| pack.bytes());
    index.packs.iter().all(|pack| bytes(pack.name).is_ok_and(|found| found == pack.bytes))
}

/// The packs of an image directory.
fn packs(dir: &ImageDir, fresh: Option<Name>) -> PackFiles {
    PackFiles { backend: dir.shared_backend(), fresh, shared: ImageDir::packs() }
}

/// The index of the generation in `path`, if it is the one that was committed.
fn index(path: &Path, manifest: &Manifest, secrets: &Secrets) -> Result<Index, VerifyError> {
    let name = || layout::INDEX.to_owned();
    let read = |source| VerifyError::Read { name: name(), source };
    let bytes =
        no_links::read_at_most(path, Path::new(layout::INDEX), limits::INDEX_MAX_BYTES).map_err(read)?;
    let found = digest::hash_reader(&*bytes).map_err(read)?;
    if manifest.files.get(layout::INDEX) != Some(&found) {
        return Err(VerifyError::Altered { name: name() });
    }
    let bytes = secrets.open(bytes, manifest).ok_or_else(|| VerifyError::Altered { name: name() })?;
    Index::decode(&bytes).map_err(|error| VerifyError::Obstacle(error.to_string()))
}

/// Reads the streams of the generation in `path`, which has `manifest`, and whose packs are in `dir`. None if all of it is files.
///
/// # Errors
/// Its index is not what was committed, or cannot be read.
pub fn reader(
    path: &Path,
    dir: &ImageDir,
    manifest: &Manifest,
    (keys, headway): (Option<&EncryptionKeys>, &Arc<Headway>),
) -> Result<Option<Arc<ChunkReader>>, VerifyError> {
    let Some(streams) = &manifest.streams else { return Ok(None) };
    let secrets = Secrets::of(manifest, keys)?;
    let name_key = streams.name_key.clone().or_else(|| secrets.name_key());
    let name_key = name_key.ok_or_else(|| VerifyError::Altered { name: layout::MANIFEST.to_owned() })?;
    let index = index(path, manifest, &secrets)?;
    let ciphers: Ciphers = secrets.ciphers(&secrets::place(manifest));
    let reader =
        ChunkReader::new(index, Arc::new(packs(dir, None)), (name_key, ciphers), Arc::clone(headway));
    Ok(Some(Arc::new(reader)))
}

#[cfg(test)]
mod tests;
