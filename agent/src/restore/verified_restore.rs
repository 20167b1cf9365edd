//! Verifies and restores side by side. Blocks.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crik_store::generation::manifest::Manifest;
use crik_store::generation::verify::{self, VerifyError};
use crik_store::image_dir::ImageDirError;
use crik_store::image_dir::attempts::{Attempt, Attempts, RESUMED};
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::staging::{Purpose, Staging};
use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::base::retry::{HasOutlook, Outlook};
use crate::carry::loopback;
use crate::carry::open_files::{Place, Rules};
use crate::config::{ChangedFiles, LoopbackConnections};
use crate::restore::free_ids::Taken;
use crate::restore::generation_images::{GenerationImages, GenerationImagesError};
use crate::restore::parallel_verify::{ParallelVerify, Unverified};
use crate::restore::private_images::{PrivateImages, PrivateImagesError, Wishes};
use crate::restore::restore_tree::{self, RestoreError, Source};
use crate::restore::restored_json;
use crate::tree::criu::{self, Connections, PagesSource};
use crate::tree::process::hooks::{self, HookError};
use crate::tree::process::reap;
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
    /// The images cannot be read.
    #[error(transparent)]
    Unread(#[from] GenerationImagesError),
    /// The images cannot be made to fit this pod.
    #[error(transparent)]
    Images(#[from] PrivateImagesError),
    /// CRIU refused, or a file cannot be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Somebody has an id of the tree.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// The hook wants it not to run.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// It hangs.
    #[error("nothing of it moved for {0:?} (restoreTimeout)")]
    Stalled(Duration),
    /// Somebody has ended CRIU, or the kernel for want of memory.
    #[error("criu was killed; has the container enough memory for it besides the application?")]
    CriuGone,
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
            Self::Unread(error) => error.outlook(),
            Self::Images(error) => error.outlook(),
            Self::Restore(error) => error.outlook(),
            // It may have been in the way of something else.
            Self::CriuGone => Outlook::Unexplained,
            Self::Taken(_) | Self::Hook(_) | Self::Stalled(_) | Self::GivenUp | Self::Broken(_) => {
                Outlook::Lasting
            }
        }
    }

    fn is_of_the_volume(&self) -> bool {
        match self {
            Self::Volume(error) => error.is_of_the_volume(),
            Self::Altered(error) => error.is_of_the_volume(),
            Self::Unread(error) => error.is_of_the_volume(),
            Self::Images(error) => error.is_of_the_volume(),
            _ => false,
        }
    }
}

/// Verifies and restores side by side; nothing of the tree runs before both are good and `headway` lets it begin. Once it runs,
/// `runs` is told: what comes then may hang on the volume.
///
/// # Errors
/// Nothing of the tree runs.
pub fn bring_back(
    hold: &Arc<Hold>,
    manifest: &Arc<Manifest>,
    workload: &Arc<Workload>,
    headway: &Arc<Headway>,
    runs: impl FnMut() + Send + 'static,
) -> Result<(), NotBroughtBack> {
    let path = hold.dir().generation(manifest.generation);
    let staging = Staging::new(hold, Purpose::Restore);
    let verification = Arc::new(verify(&path, manifest, workload, headway)?);
    let keys = (workload.keys.encryption.as_deref(), headway);
    let images = GenerationImages::open(&path, hold.dir(), manifest, keys)?;
    let streams = images.streams();
    let given_up = || headway.is_given_up();
    let runs = Arc::new(Mutex::new(runs));
    let refused = Arc::default();
    let cut = cut_place(hold, manifest, workload.config.changed_files)?;
    let restore = |connections| {
        let work = || staging.make().map(Path::to_owned);
        let wishes = (Wishes::of(&workload.config), connections);
        let private = PrivateImages::prepare(&images, manifest, wishes, work, headway)?;
        if given_up() {
            return Err(NotBroughtBack::GivenUp);
        }
        let pages = streams.cloned().map(|streams| streams as Arc<dyn PagesSource>);
        let from = Source {
            parts: images.parts(),
            images: private.path(),
            pages,
            locks: private.locks(),
            connections,
        };
        let (go, runs) = (go(workload, manifest, &verification, headway, &refused), Arc::clone(&runs));
        let answers = (go, move || locked(&runs)());
        Ok(restore_tree::restore(&from, manifest, &workload.config, &cut, headway, answers)?)
    };
    let mut outcome = restore(connections(manifest, workload));
    if let Err(NotBroughtBack::Restore(RestoreError::Criu(error))) = &outcome
        && connections(manifest, workload) == Connections::Keep
        && !given_up()
        && locked(&refused).is_none()
    {
        tracing::warn!(
            step = "restore",
            "connections within the program are closed, since with them {error}"
        );
        reap::end_all_children();
        outcome = restore(Connections::Close);
    }
    let error = match outcome {
        Err(NotBroughtBack::Restore(error)) => error,
        other => return other,
    };
    if given_up() {
        return Err(NotBroughtBack::GivenUp);
    }
    staging.keep_log(limits::RESTORE_LOG, &criu::last_log().unwrap_or_default());
    // An altered image can make CRIU fail in any way; then the verification knows why.
    verification.wait(|| headway.is_given_up())?;
    if let Some(why) = streams.and_then(|streams| streams.failure()) {
        return Err(NotBroughtBack::Altered(why));
    }
    Err(locked(&refused).take().unwrap_or(error.into()))
}

/// A restore that would fail without them must not fail for them: they are put together only where they were taken apart.
fn connections(manifest: &Manifest, workload: &Workload) -> Connections {
    let are_wanted = workload.config.loopback_connections == LoopbackConnections::Keep;
    if are_wanted && loopback::are_kept(manifest) { Connections::Keep } else { Connections::Close }
}

/// Verifies what must be good before anything is put back or CRIU looks at it, and begins with the rest.
fn verify(
    path: &Path,
    manifest: &Arc<Manifest>,
    workload: &Workload,
    headway: &Arc<Headway>,
) -> Result<ParallelVerify, NotBroughtBack> {
    let altered = |error| match headway.is_given_up() {
        true => NotBroughtBack::GivenUp,
        false => NotBroughtBack::Altered(Arc::new(error)),
    };
    let hashes = workload.config.verify_hashes;
    if hashes {
        verify::extra_files(path, manifest, headway).map_err(altered)?;
    }
    Ok(match &workload.keys.signing {
        // CRIU is no program for images that somebody else has made: not even a look before they are known to be ours.
        Some(_) => {
            verify::images(path, manifest, headway).map(|()| ParallelVerify::good()).map_err(altered)?
        }
        None if hashes => ParallelVerify::begin(path, manifest, headway),
        None => ParallelVerify::good(),
    })
}

/// Where what is cut from files of volumes is kept. The tree has run on after the checkpoint if that let it, or if it was
/// resumed before; of an attempt whose outcome nobody has told, that may be, and [`crate::restore::went_on::note`] is one of those.
fn cut_place(
    hold: &Arc<Hold>,
    manifest: &Manifest,
    changed_files: ChangedFiles,
) -> Result<Place, ImageDirError> {
    let attempts = Attempts::read(hold.dir(), manifest.generation)?.attempts;
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
    manifest: &Arc<Manifest>,
    verification: &Arc<ParallelVerify>,
    headway: &Arc<Headway>,
    refused: &Arc<Mutex<Option<NotBroughtBack>>>,
) -> impl FnMut() -> io::Result<()> + Send + use<> {
    let (workload, manifest, verification) =
        (Arc::clone(workload), Arc::clone(manifest), Arc::clone(verification));
    let (headway, refused) = (Arc::clone(headway), Arc::clone(refused));
    move || {
        let ready = || {
            verification.wait(|| headway.is_given_up())?;
            make_ready(&workload, &manifest, &headway)?;
            if headway.begin() { Ok(()) } else { Err(NotBroughtBack::GivenUp) }
        };
        ready().map_err(|why| {
            let told = io::Error::other(why.to_string());
            *locked(&refused) = Some(why);
            told
        })
    }
}

/// The last that happens before the first instruction of the tree.
fn make_ready(workload: &Workload, manifest: &Manifest, headway: &Headway) -> Result<(), NotBroughtBack> {
    if headway.is_given_up() {
        return Err(NotBroughtBack::GivenUp);
    }
    restored_json::tell(manifest, &workload.pod);
    let variables = [("CRIK_GENERATION", manifest.generation.0.to_string())];
    Ok(hooks::run("postRestore", workload.config.hooks.post_restore.as_ref(), &variables, headway)?)
}
