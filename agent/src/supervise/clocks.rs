//! What a fresh start gives a program for the moves to come; until then its clocks and the numbers of its files are the machine's.

use crate::carry::clocks::install::Installed;
use crate::config::Config;

/// The library that keeps the clocks of a program going that is about to be started, if the kernel does not, and the numbers of its
/// files; none where there will be no checkpoint.
pub fn library(config: &Config) -> Option<Installed> {
    let image_dir = config.image_dir.as_deref()?;
    if !config.clock_library {
        return None;
    }
    let installed = Installed::fresh(Some(image_dir))
        .inspect_err(|error| tracing::warn!(step = "start", "{error}"))
        .ok()?;
    if config.io_uring
        && let Err(error) = installed.allow_rings()
    {
        tracing::warn!(step = "start", "the program will have to do without io_uring: {error}");
    }
    Some(installed)
}
