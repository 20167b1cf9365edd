//! One rung of the ladder: what has to be read, and the restore itself. Blocks.

use std::io;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};

use crate::base::limits;
use crate::base::point_of_no_return::PointOfNoReturn;
use crate::carry::open_files::Place;
use crate::config::ChangedFiles;
use crate::restore::parallel_verify::ParallelVerify;
use crate::restore::private_images::{PrivateImages, Wishes};
use crate::restore::{restore_tree, restored_json};
use crate::store::generation::identity::Identity;
use crate::store::generation::manifest::Manifest;
use crate::store::generation::signature::Key;
use crate::store::generation::verify::{self, Trust, VerifyError};
use crate::store::image_dir::attempts::{Attempt, Attempts, RESUMED};
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::staging::{Purpose, Staging};
use crate::store::image_dir::{Generation, ImageDirError};
use crate::tree::criu;
use crate::tree::process::hooks::{self, HookError};
use crate::workload::Workload;

/// Reads the manifest of `generation`, and finds what speaks against resuming it on the machine `here`.
///
/// # Errors
/// What speaks against it.
pub fn check(
    hold: &Hold,
    generation: Generation,
    here: &Identity,
    key: Option<&Key>,
) -> Result<Manifest, VerifyError> {
    let trust = Trust { key, image_dir: hold.dir().root() };
    verify::facts(&hold.dir().generation(generation), generation, here, &trust)
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
) -> Result<()> {
    let hashes = workload.config.verify_hashes;
    let path = hold.dir().generation(manifest.generation);
    let staging = Staging::new(hold, Purpose::Restore);
    let work = staging.make()?;
    if hashes {
        verify::extra_files(&path, manifest)?;
    }
    let verdict = Arc::new(match &workload.key {
        // CRIU is no program for images that somebody else has made: not even a look before they are known to be ours.
        Some(_) => verify::images(&path, manifest).map(|()| ParallelVerify::good())?,
        None if hashes => ParallelVerify::begin(&path, manifest),
        None => ParallelVerify::good(),
    });
    let given_up = || point_of_no_return.is_closed();
    let images = PrivateImages::prepare(&path, manifest, Wishes::of(&workload.config), work, given_up)?;
    if given_up() {
        return Err(anyhow!("the restore was given up"));
    }
    let refused = Arc::new(OnceLock::new());
    let go = go(workload, manifest, &verdict, point_of_no_return, &refused);
    let cut = cut_place(hold, manifest, workload.config.changed_files)?;
    let Err(error) = restore_tree::restore(&path, images.path(), manifest, work, &cut, go) else {
        // It runs, whatever becomes of what CRIU has measured.
        let _ = staging.sweep();
        return Ok(());
    };
    staging.keep_log(limits::RESTORE_LOG, &criu::last_log()?);
    // An altered image can make CRIU fail in any way; then the verification knows why.
    verdict.wait(|| point_of_no_return.is_closed()).map_err(|altered| anyhow!("{altered}"))?;
    Err(refused.get().map_or_else(|| error.into(), |why: &String| anyhow!("{why}")))
}

/// Where what is cut from files of volumes is kept. The tree has run on after the checkpoint if that let it, or if it was
/// resumed before; of an attempt whose outcome nobody has told, that may be.
fn cut_place(hold: &Hold, manifest: &Manifest, changed_files: ChangedFiles) -> Result<Place, ImageDirError> {
    let attempts = Attempts::read(&hold.dir().attempts(manifest.generation))?.attempts;
    let earlier = attempts.split_last().map_or(&[][..], |(_, earlier)| earlier);
    let may_have_run =
        |attempt: &Attempt| attempt.outcome.as_deref().is_none_or(|outcome| outcome == RESUMED);
    let ran_on = manifest.went_on || earlier.iter().any(may_have_run);
    Ok(Place { directory: hold.dir().cut(manifest.generation), ran_on, changed_files })
}

/// Says whether the tree, which is restored and stopped, may go on; notes why not.
fn go(
    workload: &Arc<Workload>,
    manifest: &Manifest,
    verdict: &Arc<ParallelVerify>,
    point_of_no_return: &Arc<PointOfNoReturn>,
    refused: &Arc<OnceLock<String>>,
) -> impl FnMut() -> io::Result<()> + Send + use<> {
    let (workload, manifest, verdict) = (Arc::clone(workload), manifest.clone(), Arc::clone(verdict));
    let (call, refused) = (Arc::clone(point_of_no_return), Arc::clone(refused));
    move || {
        let ready = verdict.wait(|| call.is_closed()).and_then(|()| {
            make_ready(&workload, &manifest).map_err(|error| error.to_string())?;
            if call.begin() { Ok(()) } else { Err("the restore was given up".to_owned()) }
        });
        ready.map_err(|why| io::Error::other(refused.get_or_init(|| why).clone()))
    }
}

/// The last that happens before the first instruction of the tree.
fn make_ready(workload: &Workload, manifest: &Manifest) -> Result<(), HookError> {
    restored_json::tell(manifest, &workload.pod);
    let variables = [("CRIK_GENERATION", manifest.generation.0.to_string())];
    hooks::run("postRestore", workload.config.hooks.post_restore.as_ref(), &variables)
}
