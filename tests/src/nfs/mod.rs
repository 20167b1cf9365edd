//! A real NFS: a server and its clients, in a machine that QEMU emulates, since the kernels of few test machines have them.
//!
//! A test of a suite is run there by the same program: on the host, [`on_nfs`] starts the machine and has it run the test of
//! this name; in the machine, it runs what it was given.

mod client;
mod emulator;
mod given;
mod machine;
mod server;

use std::any::type_name_of_val;
use std::env;

use anyhow::{Context as _, Result};

pub use client::Client;
pub use server::{Export, Grace, Share};

/// What is set for a test that runs in the machine.
pub(crate) const INSIDE: &str = "CRIK_TESTS_IN_MACHINE";

/// Runs a test, which calls this with a closure of its own and nothing else, in the machine with the NFS.
///
/// # Errors
/// The test fails, or the machine does; the message has what was said, by the test and on the console.
pub fn on_nfs(test: impl FnOnce() -> Result<()>) -> Result<()> {
    if env::var_os(INSIDE).is_some() {
        return test();
    }
    let path = type_name_of_val(&test);
    let name = path.split("::").skip(1).take_while(|part| !part.starts_with('{')).collect::<Vec<_>>();
    machine::run(&name.join("::")).with_context(|| format!("{path} in the machine with the NFS"))
}
