//! A program is stopped, brought back, changes a tenth of what it has, is stopped again and brought back again.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use crik_tests::measure::{first_step, median, milliseconds};
use crik_tests::pod::{Pod, Running};
use crik_tests::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::contender::Contender;
use crate::load::Load;
use crate::place::Place;
use crate::processor::Processor;

/// How often each is measured that is measured by turns.
const ROUNDS: usize = 3;

/// So many lines of a program show that it is at work.
const AT_WORK: usize = 20;

/// How long something took, and how many seconds of the processors.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Milliseconds.
    pub ms: f64,
    /// Seconds of processor time, of all processes of the container.
    pub processor: f64,
}

/// Medians of a few rounds in which both of two take their turn, so that a slow moment of the machine meets both.
///
/// # Errors
/// Those of a round.
pub fn by_turns(round: impl Fn() -> Result<[f64; 2]>) -> Result<[f64; 2]> {
    let rounds = (0..ROUNDS).map(|_| round()).collect::<Result<Vec<_>>>()?;
    Ok([0, 1].map(|which| median(rounds.iter().map(|times| times[which]).collect())))
}

/// A contender at work with a program.
pub struct Cycle<'a> {
    contender: Contender,
    place: &'a Place,
    load: Load,
    pod: Pod,
}

impl<'a> Cycle<'a> {
    /// For a program with so much of this load.
    ///
    /// # Errors
    /// The program cannot be made.
    pub fn new(contender: Contender, place: &'a Place, load: Load, megabytes: u32) -> Result<Self> {
        Ok(Self { contender, place, load, pod: contender.pod(place, load, megabytes)? })
    }

    /// With another pod.
    pub fn with(self, change: impl FnOnce(Pod) -> Pod) -> Self {
        Self { pod: change(self.pod), ..self }
    }

    /// Starts the program for the first time.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(&self) -> Result<Running> {
        let running = self.pod.start()?;
        self.place.started(&running)?;
        running.wait_for_lines(AT_WORK)?;
        Ok(running)
    }

    /// SIGTERM to the end, which comes when the checkpoint is durable.
    ///
    /// # Errors
    /// There is no checkpoint.
    pub fn stop(&self, mut running: Running) -> Result<Took> {
        // Nobody pays for what the disk still has to do from before.
        nix::unistd::sync();
        let processor = Processor::of(&running)?;
        let (before, began) = (processor.seconds()?, Instant::now());
        running.signal(Signal::SIGTERM)?;
        let code = running.wait()?;
        let took = Took { ms: milliseconds(began.elapsed()), processor: processor.seconds()? - before };
        ensure!(code == self.contender.code(), "exit code {code}\n{}", running.transcript());
        Ok(took)
    }

    /// The runtime's call to the first new step, with nothing of the image in memory or with all of it.
    ///
    /// # Errors
    /// It is not brought back.
    pub fn resume(&self, cold: bool) -> Result<(Running, Took)> {
        if cold {
            self.place.forget()?;
        }
        let running = self.pod.start()?;
        self.place.started(&running)?;
        let processor = Processor::of(&running)?;
        running.wait_for_lines(1)?;
        let took = Took { ms: first_step(&running)?, processor: processor.seconds()? };
        ensure!(!running.stdout.text().contains("begin"), "it began anew\n{}", running.transcript());
        Ok((running, took))
    }

    /// Lets the program change a tenth of what it has.
    ///
    /// # Errors
    /// It does not.
    pub fn change(&self, running: &Running) -> Result<()> {
        let program = running.processes().into_iter().find(|process| process.name == self.load.process());
        let program = program.with_context(|| format!("no program\n{}", running.state()))?;
        kill(Pid::from_raw(program.host_pid), Signal::SIGHUP)?;
        wait_for("the change", || running.stdout.text().contains("changed").then_some(()))
    }
}
