//! One rung of the ladder: what has to be read, and the restore itself. Blocks.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::hold::Hold;
use crate::identity::Identity;
use crate::image_dir::Generation;
use crate::last_call::LastCall;
use crate::manifest::Manifest;
use crate::staging::{Purpose, Staging};
use crate::verdict::Verdict;
use crate::verify::VerifyError;
use crate::{limits, restore, verify};

/// Reads the manifest of `generation`, and finds what speaks against resuming it on the machine `here`.
///
/// # Errors
/// What speaks against it.
pub fn check(hold: &Hold, generation: Generation, here: &Identity) -> Result<Manifest, VerifyError> {
    verify::facts(&hold.dir().generation(generation), generation, here)
}

/// Verifies and restores side by side; nothing of the tree runs before both are good and `last_call` lets it begin.
///
/// # Errors
/// Nothing of the tree runs.
pub fn bring_back(
    hold: &Arc<Hold>,
    manifest: &Manifest,
    hashes: bool,
    last_call: &Arc<LastCall>,
) -> Result<()> {
    let path = hold.dir().generation(manifest.generation);
    let staging = Staging::new(hold, Purpose::Restore);
    let work = staging.clean()?;
    if hashes {
        verify::extra_files(&path, manifest)?;
    }
    let verdict = Arc::new(if hashes { Verdict::begin(&path, manifest) } else { Verdict::good() });
    let (asked, call) = (Arc::clone(&verdict), Arc::clone(last_call));
    let judge = move || {
        asked.wait(|| call.is_closed()).map_err(io::Error::other)?;
        if call.begin() { Ok(()) } else { Err(io::Error::other("the restore was given up")) }
    };
    let Err(error) = restore::restore(&path, manifest, work, judge) else { return Ok(()) };
    staging.keep_log(Path::new(limits::RESTORE_LOG));
    // An altered image can make CRIU fail in any way; then the verification knows why.
    verdict.wait(|| last_call.is_closed()).map_err(|altered| anyhow!("{altered}"))?;
    Err(error.into())
}
