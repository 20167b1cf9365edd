//! The commands: from the command line to the exit code, one file each. It imports every other room, and none imports it.

mod args;
mod cat;
mod checkpoint;
mod choose;
mod copy;
mod doctor;
mod gc;
mod inspect;
mod install;
mod list;
mod place;
mod progress_bar;
mod run;
mod trial;
mod trial_pod;
mod verify;

use crate::base::exit_codes;
use crate::base::whole_story::whole_story;
use crate::doctor::{copy as trial_copy, trial as small_trial};
use crate::kubectl;
use crate::tree::criu;
use crate::tree::process::rights;
use args::Command;
use crik_store::image_dir::hold::HoldError;

/// Does what the command line says. Returns the exit code.
pub fn main() -> i32 {
    if let Some(code) = kubectl::as_plugin() {
        return code;
    }
    rights::take_up();
    if let Some(code) = criu::become_criu() {
        return code;
    }
    small_trial::become_sleeper();
    let done = match &args::parse().command {
        Command::Run(args) => return run::run(args),
        Command::Checkpoint(args) => checkpoint::checkpoint(args).map(|()| 0),
        Command::List(place) => list::list(place).map(|()| 0),
        Command::Inspect(args) => inspect::inspect(args).map(|()| 0),
        Command::Verify(args) => verify::verify(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Trial { directory, init } => Ok(small_trial::main(directory, init)),
        Command::TrialPod(args) => trial_pod::resume(args),
        Command::TrialCopy { arguments } => Ok(trial_copy::main(arguments)),
        Command::Choose(args) => choose::choose(args).map(|()| 0),
        Command::Cat(args) => cat::cat(args).map(|()| 0),
        Command::Copy(args) => copy::copy(args),
        Command::Kubectl(args) => return kubectl::run(args),
        Command::Install(args) => install::install(args).map(|()| 0),
        Command::Gc(args) => gc::gc(args).map(|()| 0),
    };
    done.unwrap_or_else(|error| {
        eprintln!("crik: {}", whole_story(&error));
        let held = matches!(error.downcast_ref(), Some(HoldError::Held(_)));
        if held { exit_codes::NOT_RESUMED } else { exit_codes::FAILURE }
    })
}
