//! The clocks of a fresh start: the machine's, so that nothing has to be done but for the moves to come.

use crate::carry::clocks::install::Installed;
use crate::config::Config;
use crate::tree::process::time_namespace;

/// The library that keeps the clocks of a program going that is about to be started; none where the kernel does so, or where there
/// will be no checkpoint.
pub fn library(config: &Config) -> Option<Installed> {
    let image_dir = config.image_dir.as_deref()?;
    if !config.clock_library || time_namespace::is_possible() {
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
