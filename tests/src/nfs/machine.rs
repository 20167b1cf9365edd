//! The emulated machine, as the host sees it: one for each program of a suite, started with the first test that needs it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::emulator::Emulator;

/// How long a test may say nothing, or the machine while it starts: far more than they need on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the first process says when the server is there.
const READY: &str = "ready";

/// What it says before a test's exit status.
const ENDED: &str = "ended ";

struct Machine {
    port: BufReader<UnixStream>,
    emulator: Emulator,
}

static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);

/// Runs a test of this program there; one after the other, since a server that is restarted is so for all.
///
/// # Errors
/// The test fails, or the machine does.
pub fn run(test: &str) -> Result<()> {
    let mut kept = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut machine = kept.take().map_or_else(Machine::start, Ok)?;
    // One that does not answer is not kept, and so ended.
    let (status, said) = machine.run(test)?;
    let console = machine.emulator.console();
    *kept = Some(machine);
    println!("{said}");
    ensure!(status == "0", "it ended with {status}\n{said}\n--- console\n{console}");
    Ok(())
}

impl Machine {
    fn start() -> Result<Self> {
        let (port, theirs) = UnixStream::pair()?;
        port.set_read_timeout(Some(PATIENCE))?;
        let mut machine = Self { port: BufReader::new(port), emulator: Emulator::start(theirs)? };
        machine.until(READY)?;
        Ok(machine)
    }

    /// The exit status of a test, and what was said.
    fn run(&mut self, test: &str) -> Result<(String, String)> {
        writeln!(self.port.get_mut(), "{test}")?;
        self.until(ENDED)
    }

    /// What follows `start` in the first line that begins with it, and all that came before that line.
    fn until(&mut self, start: &str) -> Result<(String, String)> {
        let mut said = String::new();
        loop {
            let mut line = Vec::new();
            let read = self.port.read_until(b'\n', &mut line);
            let line = String::from_utf8_lossy(&line);
            match (read, line.strip_prefix(start)) {
                (Ok(1..), Some(rest)) => return Ok((rest.trim_end().to_owned(), said)),
                (Ok(1..), None) => said += &line,
                (other, _) => bail!(
                    "the machine does not answer ({other:?})\n{said}{line}\n--- console\n{}",
                    self.emulator.console()
                ),
            }
        }
    }
}
