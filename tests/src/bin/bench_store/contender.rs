//! Who makes the checkpoints.

use anyhow::Result;
use crik_tests::measure::CPU_SHARES;
use crik_tests::node::Boots;
use crik_tests::pod::Pod;

use crate::load::Load;
use crate::place::Place;

/// One of those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// CRIU alone.
    Criu,
    /// crik, which keeps memory in this format.
    Crik(&'static str),
}

impl Contender {
    /// A pod with the program.
    ///
    /// # Errors
    /// The program cannot be made.
    pub fn pod(self, place: &Place, load: Load, megabytes: u32) -> Result<Pod> {
        let command = load.command(megabytes);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let pod = match self {
            Self::Criu => Pod::new(place.volume(), "node-a", &[])
                .with(|spec| spec.command(&["/programs/plain.sh"], &command)),
            Self::Crik(format) => Pod::new(place.volume(), "node-a", &command)
                .config("keepGenerations: 1\nmaxRestores: 1000\ngracePeriod: 5m")
                .set_config(&format!("format: {format}")),
        };
        // On a node that was booted later, a program that CRIU alone brings back stands still.
        let pod = pod.boots(Boots::EverOlder).with(|spec| spec.cpu_shares = Some(CPU_SHARES));
        load.given_to(&pod)
    }

    /// The exit code of a container that was stopped with a checkpoint.
    pub fn code(self) -> i32 {
        if self == Self::Criu { 0 } else { 143 }
    }
}
