//! The manifest of a generation: all that a start must know before it hands an image to CRIU.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::backend::no_links;
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};
use crate::generation::clock_facts::ClockFacts;
use crate::generation::contents::Members;
use crate::generation::digest::Files;
use crate::generation::file_numbers::FileNumbers;
use crate::generation::identity::Identity;
use crate::generation::open_files::{Kept, UnnamedFile, VolumeFile};
use crate::generation::signature::{Keys, SignatureError};
use crate::generation::stream_facts::StreamFacts;
use crate::generation::tree_facts::{
    Cgroups, DatagramPeer, KubeletFile, PodAddress, StdioMap, TerminalFacts, TreeFacts,
};
pub use crate::image_dir::format_version::VERSION;
use crate::image_dir::format_version::version;
use crate::image_dir::{Generation, ImageDir, layout};

/// That of a generation all of which is files.
pub const WITHOUT_STREAMS: u32 = 2;

/// In `durations_ms`: how long the dump took.
pub const DUMP: &str = "dump";

/// In `durations_ms`: how long it took to make it durable.
pub const DURABLE: &str = "durable";

/// In `durations_ms`: for how long a tree that goes on was frozen.
pub const PAUSE: &str = "pause";

/// The manifest. It is written last, so a generation that has one has everything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of this format.
    pub version: u32,
    /// The generation's own number, so that a directory put under another name is noticed.
    pub generation: Generation,
    /// When the dump began, in seconds since 1970.
    pub created_at: u64,
    /// `crik`'s version that wrote it.
    pub crik_version: String,
    /// What was frozen and on which machine.
    pub identity: Identity,
    /// The process tree.
    pub tree: TreeFacts,
    /// Where the tree's standard streams lead.
    pub stdio: StdioMap,
    /// The terminal that the tree has of its container; earlier releases made no checkpoint then.
    #[serde(default)]
    pub terminal: TerminalFacts,
    /// The control group files that the tree has open, and the agent's control groups at that time.
    pub cgroups: Cgroups,
    /// The pod's addresses at the checkpoint, without those of the loopback interface; earlier releases did not tell.
    #[serde(default)]
    pub addresses: Vec<PodAddress>,
    /// The files of ConfigMaps and their like that the tree had open; earlier releases did not tell.
    #[serde(default)]
    pub kubelet_files: Vec<KubeletFile>,
    /// Its datagram sockets that were connected to those of other pods; earlier releases made no checkpoint then.
    #[serde(default)]
    pub datagram_peers: Vec<DatagramPeer>,
    /// In version 1: the paths under `files/` that are put back before a restore, as absolute paths.
    pub extra_paths: Vec<PathBuf>,
    /// CLOCK_MONOTONIC of the tree at the dump, in seconds, for earlier releases.
    pub monotonic_seconds: u64,
    /// What each step took, in milliseconds.
    pub durations_ms: BTreeMap<String, u64>,
    /// Every other file of the generation, by its path in it.
    pub files: Files,
    /// What lies below `files/`, with its attributes: nothing since version 2; not told in the first generations of all.
    #[serde(default)]
    pub extra: Option<Members>,
    /// The image directory for which it was made, so that a signed generation is not taken for another replica's.
    #[serde(default)]
    pub image_dir: Option<PathBuf>,
    /// Whether the application went on after the checkpoint, so that its node was not left for it; earlier releases did not
    /// tell, and of theirs it is taken that it ended.
    #[serde(default)]
    pub went_on: bool,
    /// The tree's clocks; earlier releases tell no more than `monotonic_seconds`.
    #[serde(default)]
    pub clocks: Option<ClockFacts>,
    /// The files of volumes that the tree had open; none in generations of earlier releases.
    #[serde(default)]
    pub volume_files: Vec<VolumeFile>,
    /// The files that it had open and that had lost their name; none in generations of earlier releases.
    #[serde(default)]
    pub unnamed_files: Vec<UnnamedFile>,
    /// The ids that must be free to resume it; earlier releases did not tell.
    #[serde(default)]
    pub ids: BTreeSet<i32>,
    /// By which numbers the tree knows the files that it had open; none in generations of earlier releases.
    #[serde(default)]
    pub file_numbers: Vec<FileNumbers>,
    /// Whether its digest lies beside it; earlier releases wrote none.
    #[serde(default)]
    pub has_digest: bool,
    /// For how many milliseconds the tree had run since it was last started or resumed; none in generations of earlier releases.
    #[serde(default)]
    pub ran_since_start_ms: u64,
    /// What is kept in packs; nothing in generations all of which is files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<StreamFacts>,
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("its manifest cannot be read: {0}")]
    Read(io::Error),
    /// It is larger than any manifest.
    #[error("its manifest has more than {0} bytes, which no manifest has")]
    TooLarge(u64),
    /// It is not JSON of the right shape.
    #[error("its manifest is damaged: {0}")]
    Damaged(serde_json::Error),
    /// A later release wrote it, in another form.
    #[error(
        "its manifest has version {version}, as {writer} writes it, and this crik {} reads up to {VERSION}; use the newer crik, which \
         finds it as it is",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// Its form.
        version: u32,
        /// The release.
        writer: String,
    },
    /// Another release wrote it, with something in it that this one does not know.
    #[error(
        "its manifest was written by {writer}, and this crik {} does not understand it: {source}; use the release that wrote it",
        env!("CARGO_PKG_VERSION")
    )]
    OfAnotherRelease {
        /// The release.
        writer: String,
        /// What is not understood.
        source: serde_json::Error,
    },
    /// There is a key, and no signature.
    #[error(
        "it is not signed, and signingKeyFile is configured; only leave that out if nobody else can write to the volume"
    )]
    Unsigned,
    /// There is a signature, and it is another one.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is not what was committed.
    #[error("its manifest was altered after the commit (BLAKE3 differs)")]
    Altered,
    /// What it is to be compared with is not there.
    #[error("its manifest.blake3 is missing, without which nobody knows whether the manifest was altered")]
    NoDigest,
    /// The directory is not the one that the manifest was written for.
    #[error("its manifest is that of generation {0}")]
    Misplaced(Generation),
    /// A path in it leads out of the generation.
    #[error("its manifest names a file outside the generation: {0}")]
    Outside(String),
}

impl HasOutlook for ManifestError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Read(source) => source.outlook(),
            _ => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Read(source) if source.is_of_the_volume())
    }
}

impl Manifest {
    /// Reads the manifest of `generation`, which lies in `dir`. With a `key` it must be signed.
    ///
    /// # Errors
    /// Whatever makes the generation unusable; the message completes «generation N is skipped: …».
    pub fn read(dir: &Path, generation: Generation, key: Option<&Keys>) -> Result<Self, ManifestError> {
        let bytes = read_bounded(dir, layout::MANIFEST)?;
        if let Some(key) = key {
            let signature = read_bounded(dir, layout::SIGNATURE).map_err(|_| ManifestError::Unsigned)?;
            key.verify(&signature, &bytes)?;
        }
        refuse_newer(&bytes)?;
        let digest = digest(dir)?;
        if digest.as_deref().is_some_and(|digest| digest.trim_ascii() != digest_of(&bytes).trim().as_bytes())
        {
            return Err(ManifestError::Altered);
        }
        let manifest = Self::parse(&bytes)?;
        if manifest.has_digest && digest.is_none() {
            return Err(ManifestError::NoDigest);
        }
        if manifest.generation != generation {
            return Err(ManifestError::Misplaced(manifest.generation));
        }
        Ok(manifest)
    }

    /// Reads the manifest of a generation of `dir`, once its files are on this machine; says where they are.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn brought(
        dir: &ImageDir,
        generation: Generation,
        key: Option<&Keys>,
    ) -> Result<(PathBuf, Self), ManifestError> {
        let path = dir.bring(generation).map_err(ManifestError::Read)?;
        let manifest = Self::read(&path, generation, key)?;
        Ok((path, manifest))
    }

    /// Reads the contents of a manifest's file.
    ///
    /// # Errors
    /// They are not those of one, or lead out of the generation.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        refuse_newer(bytes)?;
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| not_understood(bytes, error))?;
        let inside = |name: &&String| !stays_inside(Path::new(name));
        let paths = manifest.extra_paths.iter().chain(manifest.volume_files.iter().map(|file| &file.path));
        let unnamed = manifest.unnamed_files.iter().filter(|file| !is_in_place(file)).map(|file| &file.name);
        let strays = paths.filter(|path| !is_plain(path)).chain(unnamed);
        match manifest
            .files
            .keys()
            .find(inside)
            .cloned()
            .or_else(|| strays.map(|path| path.display().to_string()).next())
        {
            Some(name) => Err(ManifestError::Outside(name)),
            None => Ok(manifest),
        }
    }

    /// The manifest's file, which [`Manifest::read`] is sure to accept.
    ///
    /// # Errors
    /// A name in it is not UTF-8, or it is too large: a generation with it could never be resumed.
    pub fn to_json(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec_pretty(self)?;
        if json.len() as u64 > limits::MANIFEST_MAX_BYTES {
            return Err(io::Error::other("too many files; put fewer into additionalPaths"));
        }
        Ok(json)
    }

    /// Size of all that it has, in bytes, as it was before it was made smaller.
    pub fn total_bytes(&self) -> u64 {
        self.file_bytes() + self.streams.as_ref().map_or(0, StreamFacts::bytes)
    }

    /// The names of CRIU's images, whether they are files or streams.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let streams = self.streams.iter().flat_map(|streams| streams.sizes.keys());
        let names = self.files.keys().chain(streams);
        names.filter_map(|name| name.strip_prefix(layout::IMAGES)?.strip_prefix('/'))
    }

    /// Whether it has a part of this name, as a file or as a stream.
    pub fn has(&self, part: &str) -> bool {
        let is_stream = self.streams.as_ref().is_some_and(|streams| streams.sizes.contains_key(part));
        is_stream || self.files.contains_key(part)
    }

    /// Whether nobody reads it without a key.
    pub fn is_encrypted(&self) -> bool {
        self.streams.as_ref().is_some_and(|streams| !streams.secrets.is_empty())
    }

    /// How many bytes of it are on the volume, some of which other generations may need too.
    pub fn stored_bytes(&self) -> u64 {
        self.file_bytes() + self.streams.as_ref().map_or(0, |streams| streams.kept_bytes)
    }

    /// How many bytes were written for it.
    pub fn new_bytes(&self) -> u64 {
        self.file_bytes() + self.streams.as_ref().map_or(0, |streams| streams.new_bytes)
    }

    /// Size of its files.
    fn file_bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }
}

/// Before anything else, since a later release may keep all else in other ways.
fn refuse_newer(bytes: &[u8]) -> Result<(), ManifestError> {
    let version = version(bytes).map_err(ManifestError::Damaged)?;
    if version <= VERSION {
        return Ok(());
    }
    let writer = writer(bytes).map_or_else(|| "a later crik".to_owned(), |release| format!("crik {release}"));
    Err(ManifestError::Newer { version, writer })
}

/// What this release wrote and does not understand is damaged.
fn not_understood(bytes: &[u8], source: serde_json::Error) -> ManifestError {
    match writer(bytes).filter(|release| release != env!("CARGO_PKG_VERSION")) {
        Some(release) => ManifestError::OfAnotherRelease { writer: format!("crik {release}"), source },
        None => ManifestError::Damaged(source),
    }
}

/// The release that wrote a manifest, if it says so in a word that can stand in the log.
fn writer(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Written {
        crik_version: String,
    }
    let Written { crik_version } = serde_json::from_slice(bytes).ok()?;
    let is_word = crik_version.len() <= limits::ARGUMENT_TOLD_CHARS
        && crik_version.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then_some(crik_version)
}

/// The digest of a manifest's bytes, as its file holds it.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("{}\n", blake3::hash(bytes).to_hex())
}

/// None in generations of earlier releases.
fn digest(dir: &Path) -> Result<Option<Vec<u8>>, ManifestError> {
    match read_bounded(dir, layout::DIGEST) {
        Err(ManifestError::Read(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn read_bounded(dir: &Path, name: &str) -> Result<Vec<u8>, ManifestError> {
    let most = limits::MANIFEST_MAX_BYTES;
    let bytes = no_links::read_at_most(dir, Path::new(name), most + 1).map_err(ManifestError::Read)?;
    if bytes.len() as u64 > most { Err(ManifestError::TooLarge(most)) } else { Ok(bytes) }
}

fn stays_inside(name: &Path) -> bool {
    name != Path::new("") && name.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Whether a file without a name gets one that only such a file has, and is kept in the generation or has another name.
fn is_in_place(file: &UnnamedFile) -> bool {
    let kept = match &file.kept {
        Kept::Linked(name) | Kept::Copied(name) => name.bytes().all(|byte| byte.is_ascii_digit()),
        Kept::Named(other) => is_plain(other),
    };
    kept && is_plain(&file.name) && file.is_called_right()
}

/// An absolute path that does not go up.
fn is_plain(path: &Path) -> bool {
    path.strip_prefix("/").is_ok_and(stays_inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_is_told_from_damage() {
        let told = |manifest: &str| Manifest::parse(manifest.as_bytes()).unwrap_err().to_string();
        let ours = env!("CARGO_PKG_VERSION");
        assert_eq!(
            told(r#"{"version": 9, "shape": "unheard of", "crikVersion": "7.0.1"}"#),
            format!(
                "its manifest has version 9, as crik 7.0.1 writes it, and this crik {ours} reads up to {VERSION}; use the newer crik, \
                 which finds it as it is"
            )
        );
        for unnamed in [
            r#"{"version": 9}"#,
            r#"{"version": 9, "crikVersion": ["7"]}"#,
            r#"{"version": 9, "crikVersion": "7\n8"}"#,
        ] {
            assert!(told(unnamed).contains("as a later crik writes it"), "{unnamed}");
        }
        let other = told(r#"{"version": 3, "crikVersion": "7.0.1"}"#);
        assert!(
            other.contains("was written by crik 7.0.1, and this crik")
                && other.contains("use the release that wrote it"),
            "{other}"
        );
        let own = format!(r#"{{"version": 3, "crikVersion": "{ours}"}}"#);
        assert!(told(&own).starts_with("its manifest is damaged: "), "{}", told(&own));
        assert!(matches!(Manifest::parse(b"{\"vers"), Err(ManifestError::Damaged(_))));
    }

    #[test]
    fn no_name_leads_out_of_the_generation() {
        for name in ["../x", "/etc/passwd", "criu/../../x", "", "."] {
            assert!(!stays_inside(Path::new(name)), "{name}");
        }
        assert!(stays_inside(Path::new("criu/pages-1.img")));
        for path in ["etc", "/", "/a/../b", "/..", ""] {
            assert!(!is_plain(Path::new(path)), "{path}");
        }
        assert!(is_plain(Path::new("/run/data")));
    }
}
