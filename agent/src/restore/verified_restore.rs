//! Verifies and restores side by side. Blocks.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;

use crate::base::limits;
use crate::base::panics::locked;
use crate::base::point_of_no_return::PointOfNoReturn;
use crate::base::retry::{HasOutlook, Outlook};
use crate::carry::open_files::{Place, Rules};
use crate::config::ChangedFiles;
use crate::restore::parallel_verify::{ParallelVerify, Unverified};
use crate::restore::private_images::{PrivateImages, PrivateImagesError, Wishes};
use crate::restore::restore_tree::{self, RestoreError, Source};
use crate::restore::restored_json;
use crate::store::generation::manifest::Manifest;
use crate::store::generation::verify::{self, VerifyError};
use crate::store::image_dir::ImageDirError;
use crate::store::image_dir::attempts::{Attempt, Attempts, RESUMED};
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::staging::{Purpose, Staging};
use crate::tree::criu;
use crate::tree::process::hooks::{self, HookError};
use crate::workload::Workload;

/// Why the tree was not brought back. Nothing of it runs.
#[derive(Debug, Error)]
pub enum NotBroughtBack {
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
    /// It is not what was committed.
    #[error(transparent)]
    Altered(Arc<VerifyError>),
    /// The images cannot be made to fit this pod.
    #[error(transparent)]
    Images(#[from] PrivateImagesError),
    /// CRIU refused, or a file cannot be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The hook wants it not to run.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// It takes too long.
    #[error("it was not restored within {0:?} (restoreTimeout)")]
    TooLong(Duration),
    /// Nobody waits any more.
    #[error("the restore was given up")]
    GivenUp,
    /// A defect.
    #[error("internal error: {0}")]
    Broken(String),
}

impl From<Unverified> for NotBroughtBack {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::Altered(why) => Self::Altered(why),
            Unverified::GivenUp => Self::GivenUp,
            Unverified::Broken => Self::Broken("the verification ended early".to_owned()),
        }
    }
}

impl HasOutlook for NotBroughtBack {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Volume(error) => error.outlook(),
            Self::Altered(error) => error.outlook(),
            Self::Images(error) => error.outlook(),
            Self::Restore(error) => error.outlook(),
            Self::Hook(_) | Self::TooLong(_) | Self::GivenUp | Self::Broken(_) => Outlook::Lasting,
        }
    }
}

/// Verifies and restores side by side; nothing of the tree runs before both are good and `point_of_no_return` lets it begin.
///
/// # Errors
/// Nothing of the tree runs.
pub fn bring_back(
    hold: &Arc<Hold>,
    manifest: &Manifest,
    workload: &Arc<Workload>,
    point_of_no_return: &Arc<PointOfNoReturn>,
) -> Result<(), NotBroughtBack> {
    let path = hold.dir().generation(manifest.generation);
    let staging = Staging::new(hold, Purpose::Restore);
    let work = staging.make()?;
    let verification = Arc::new(verify(&path, manifest, workload)?);
    let given_up = || point_of_no_return.is_closed();
    let images = PrivateImages::prepare(&path, manifest, Wishes::of(&workload.config), work, given_up)?;
    if given_up() {
        return Err(NotBroughtBack::GivenUp);
    }
    let refused = Arc::default();
    let go = go(workload, manifest, &verification, point_of_no_return, &refused);
    let cut = cut_place(hold, manifest, workload.config.changed_files)?;
    let from = Source { path: &path, images: images.path() };
    let Err(error) = restore_tree::restore(&from, manifest, &workload.config, work, &cut, go) else {
        // It runs, whatever becomes of what CRIU has measured.
        let _ = staging.sweep();
        return Ok(());
    };
    staging.keep_log(limits::RESTORE_LOG, &criu::last_log().unwrap_or_default());
    // An altered image can make CRIU fail in any way; then the verification knows why.
    verification.wait(|| point_of_no_return.is_closed())?;
    Err(locked(&refused).take().unwrap_or(error.into()))
}

/// Verifies what must be good before anything is put back or CRIU looks at it, and begins with the rest.
fn verify(path: &Path, manifest: &Manifest, workload: &Workload) -> Result<ParallelVerify, NotBroughtBack> {
    let altered = |error| NotBroughtBack::Altered(Arc::new(error));
    let hashes = workload.config.verify_hashes;
    if hashes {
        verify::extra_files(path, manifest).map_err(altered)?;
    }
    Ok(match &workload.key {
        // CRIU is no program for images that somebody else has made: not even a look before they are known to be ours.
        Some(_) => verify::images(path, manifest).map(|()| ParallelVerify::good()).map_err(altered)?,
        None if hashes => ParallelVerify::begin(path, manifest),
        None => ParallelVerify::good(),
    })
}

/// Where what is cut from files of volumes is kept. The tree has run on after the checkpoint if that let it, or if it was
/// resumed before; of an attempt whose outcome nobody has told, that may be.
fn cut_place(
    hold: &Arc<Hold>,
    manifest: &Manifest,
    changed_files: ChangedFiles,
) -> Result<Place, ImageDirError> {
    let attempts = Attempts::read(&hold.dir().attempts(manifest.generation))?.attempts;
    let earlier = attempts.split_last().map_or(&[][..], |(_, earlier)| earlier);
    let may_have_run =
        |attempt: &Attempt| attempt.outcome.as_deref().is_none_or(|outcome| outcome == RESUMED);
    let ran_on = manifest.went_on || earlier.iter().any(may_have_run);
    let rules = Rules { ran_on, changed_files };
    Ok(Place { hold: Arc::clone(hold), generation: manifest.generation, rules })
}

/// Says whether the tree, which is restored and stopped, may go on; notes why not.
fn go(
    workload: &Arc<Workload>,
    manifest: &Manifest,
    verification: &Arc<ParallelVerify>,
    point_of_no_return: &Arc<PointOfNoReturn>,
    refused: &Arc<Mutex<Option<NotBroughtBack>>>,
) -> impl FnMut() -> io::Result<()> + Send + use<> {
    let (workload, manifest, verification) =
        (Arc::clone(workload), manifest.clone(), Arc::clone(verification));
    let (point, refused) = (Arc::clone(point_of_no_return), Arc::clone(refused));
    move || {
        let ready = || {
            verification.wait(|| point.is_closed())?;
            make_ready(&workload, &manifest)?;
            if point.begin() { Ok(()) } else { Err(NotBroughtBack::GivenUp) }
        };
        ready().map_err(|why| {
            let told = io::Error::other(why.to_string());
            *locked(&refused) = Some(why);
            told
        })
    }
}

/// The last that happens before the first instruction of the tree.
fn make_ready(workload: &Workload, manifest: &Manifest) -> Result<(), HookError> {
    restored_json::tell(manifest, &workload.pod);
    let variables = [("CRIK_GENERATION", manifest.generation.0.to_string())];
    hooks::run("postRestore", workload.config.hooks.post_restore.as_ref(), &variables)
}
