//! Commits what was staged: from here on the checkpoint exists, whatever happens to the pod, the node or the power.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use crate::backend::durable::create_durably;
use crate::base::fault_points::{Point, reach};
use crate::base::headway::Headway;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::units::whole_ms;
use crate::generation::contents::Members;
use crate::generation::manifest::{self, Manifest};
use crate::generation::seal;
use crate::generation::signature::Keys;
use crate::generation::streams::StreamsWriter;
use crate::image_dir::packs::InUse;
use crate::image_dir::staging::Staging;
use crate::image_dir::{ImageDirError, layout};

/// Why the checkpoint does not exist.
#[derive(Debug, Error)]
pub enum CommitError {
    /// What was written cannot be read back or made durable.
    #[error("cannot make the image in {path} durable: {source}; is the volume full or away?")]
    Durable {
        /// The staging directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The application goes on meanwhile, so what was dumped is no longer its state.
    #[error("the checkpoint came too late")]
    TooLate,
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

impl HasOutlook for CommitError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Durable { source, .. } => source.outlook(),
            Self::Volume(error) => error.outlook(),
            Self::TooLate => Outlook::Lasting,
        }
    }
}

/// Makes the staging directory the generation that `manifest` is for. Blocks.
///
/// The order is what makes it safe: first the contents of all packs and files, then the manifest that vouches for them, then the packs
/// become shared, and then comes the one rename by which it becomes a generation. A crash between any two leaves only staging behind,
/// which no start reads, and packs that nobody needs, which are swept.
///
/// # Errors
/// The generation does not exist.
pub fn commit(
    staging: &Staging,
    (manifest, streams): (Manifest, Option<Arc<StreamsWriter>>),
    key: Option<&Keys>,
    headway: &Headway,
) -> Result<Manifest, CommitError> {
    let (manifest, _in_use) = make_durable(staging, (manifest, streams), key, headway)?;
    share_packs(staging, &manifest)?;
    // A later generation of this number must not find the attempts of one that a person has removed.
    staging.hold().remove_attempts(manifest.generation)?;
    reach(Point::NumberFreed);
    staging.hold().place(manifest.generation)?;
    if !headway.begin() {
        return Err(CommitError::TooLate);
    }
    staging.commit(manifest.generation)?;
    reach(Point::Committed);
    Ok(manifest)
}

/// Does all of it but the rename: nothing is a generation afterwards. What it refers to stays as long as the last of what is returned
/// lives. Blocks.
///
/// # Errors
/// It is not durable.
pub fn make_durable(
    staging: &Staging,
    (mut manifest, streams): (Manifest, Option<Arc<StreamsWriter>>),
    key: Option<&Keys>,
    headway: &Headway,
) -> Result<(Manifest, Option<InUse>), CommitError> {
    let path = staging.path();
    let durable = |source| match headway.is_given_up() {
        true => CommitError::TooLate,
        false => CommitError::Durable { path: path.into(), source },
    };
    let clock = Instant::now();
    let finished = streams.map(|streams| streams.finish(&manifest)).transpose().map_err(durable)?;
    let (facts, in_use) = finished.map_or((None, None), |(facts, in_use)| (Some(facts), in_use));
    manifest.version = if facts.is_some() { manifest::VERSION } else { manifest::WITHOUT_STREAMS };
    manifest.streams = facts;
    reach(Point::Packed);
    manifest.files = seal::seal(path, headway).map_err(durable)?;
    reach(Point::Sealed);
    manifest.durations_ms.insert(manifest::DURABLE.to_owned(), whole_ms(clock.elapsed()));
    // What was given up writes nothing more.
    headway.go_on(0).map_err(durable)?;
    manifest.extra = Some(Members::new());
    write(path, &manifest, key).map_err(durable)?;
    reach(Point::ManifestWritten);
    headway.go_on(0).map_err(durable)?;
    staging.send().map_err(durable)?;
    headway.go_on(0).map_err(durable)?;
    Ok((manifest, in_use))
}

/// From here on generations can refer to them.
fn share_packs(staging: &Staging, manifest: &Manifest) -> Result<(), CommitError> {
    if manifest.streams.is_some() {
        staging.share_packs()?;
        reach(Point::PacksShared);
    }
    Ok(())
}

fn write(path: &Path, manifest: &Manifest, key: Option<&Keys>) -> io::Result<()> {
    let json = manifest.to_json()?;
    create_durably(&path.join(layout::DIGEST), manifest::digest_of(&json).as_bytes())?;
    create_durably(&path.join(layout::MANIFEST), &json)?;
    key.map_or(Ok(()), |key| create_durably(&path.join(layout::SIGNATURE), key.sign(&json).as_bytes()))
}
