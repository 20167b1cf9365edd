//! `crik cat`: prints a file of an image directory, which in a bucket is no object of its name.

use std::io::stdout;

use anyhow::{Context as _, Result};

use super::args::Cat;

/// Prints it as it is.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn cat(args: &Cat) -> Result<()> {
    let (dir, _) = args.place.look()?;
    dir.copy_out(&args.file, &mut stdout().lock())
        .with_context(|| format!("cannot read {} of {}", args.file, dir.root().display()))
}
