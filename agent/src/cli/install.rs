//! `crik install`: puts crik, CRIU and their libraries into a directory, as an init container does that brings them to a
//! container whose image has none of them.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::args::Install;
use crate::base::limits;
use crate::base::replace_file::partial;
use crate::tree::criu;

/// Where a file's capabilities are kept (capabilities(7)).
const CAPABILITIES: &str = "security.capability";

/// The mode of what anybody may read and run.
const FOR_ALL: u32 = 0o755;

/// Puts libraries into the directory, where the loader of the programs looks for them once it is mounted at [`limits::LIBRARIES`],
/// and the programs into `bin` below it.
///
/// # Errors
/// This crik is not the one of the agent's image, or the directory cannot be written.
pub fn install(args: &Install) -> Result<()> {
    let libraries = libraries().with_context(|| {
        format!(
            "only the crik of the agent's image can be installed, which has its libraries in {}",
            limits::LIBRARIES
        )
    })?;
    let own = std::env::current_exe().context("/proc cannot be read")?;
    let programs = [criu::beside(&own), own];
    let bin = args.directory.join("bin");
    let made = DirBuilder::new().recursive(true).mode(FOR_ALL).create(&bin);
    made.with_context(|| format!("cannot make {}", bin.display()))?;
    libraries.iter().try_for_each(|file| copy(file, &args.directory))?;
    programs.iter().try_for_each(|file| copy(file, &bin))
}

fn libraries() -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(limits::LIBRARIES)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

/// Whole or not at all, and once more where an init container is started again.
fn copy(file: &Path, directory: &Path) -> Result<()> {
    let to = directory.join(file.file_name().unwrap_or_default());
    let copied = partial(&to).and_then(|(partial, made)| {
        let done = fill(file, made, &partial).and_then(|()| fs::rename(&partial, &to));
        done.inspect_err(|_| drop(fs::remove_file(&partial)))
    });
    copied.with_context(|| format!("cannot copy {} to {}", file.display(), to.display()))
}

fn fill(from: &Path, mut made: File, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut made)?;
    made.set_permissions(Permissions::from_mode(FOR_ALL))?;
    if let Some(capabilities) = xattr::get(from, CAPABILITIES).ok().flatten() {
        // Last, since a file that is written loses it. Without it the pod has to run as root, which crik says if it does not.
        let _ = xattr::set(to, CAPABILITIES, &capabilities);
    }
    Ok(())
}
