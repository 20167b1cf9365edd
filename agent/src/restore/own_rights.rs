//! What the processes of a tree may do: CRIU gives each its capabilities back, and can give none that this container does not have.

use anyhow::{Result, bail};

use crate::tree::process::capabilities::{mask, names, status};
use crik_store::generation::manifest::Manifest;

/// Whether what the processes of a generation may do can be given to them here.
///
/// # Errors
/// It cannot: the generation is to be left.
pub fn check(manifest: &Manifest) -> Result<()> {
    let lacking = manifest.tree.capabilities & !mask(&status(), "CapPrm");
    if lacking != 0 {
        bail!(
            "the program had capabilities that this container does not give ({}); add them to securityContext.capabilities.add, as the \
             container before had",
            names(lacking).join(", ")
        );
    }
    Ok(())
}
