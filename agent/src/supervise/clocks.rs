//! What a fresh start gives a program for the moves to come; until then its clocks and the numbers of its files are the machine's.

use crate::carry::clocks::install;
use crate::config::Config;
use crik_store::generation::clock_facts::Installed;

/// The library that keeps the clocks of a program going that is about to be started, if the kernel does not, and the numbers of its
/// files; none where there will be no checkpoint.
pub fn library(config: &Config) -> Option<Installed> {
    if config.image_dir.is_none() || !config.clock_library {
        return None;
    }
    let installed = install::fresh(config.volume())
        .inspect_err(|error| tracing::warn!(step = "start", "{error}"))
        .ok()?;
    if config.io_uring
        && let Err(error) = install::allow_rings(&installed)
    {
        tracing::warn!(step = "start", "the program will have to do without io_uring: {error}");
    }
    Some(installed)
}
