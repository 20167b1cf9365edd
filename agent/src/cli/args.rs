//! What may stand on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use super::place::{Place, Wanted};
use crate::base::limits;
use crate::base::logging::LogFormat;
use crate::base::output::Output;
use crate::config::Format;
use crate::doctor::in_second_pod::StoodIn;
use crate::doctor::trial::SUBCOMMAND;
use crate::doctor::{copy, second_pod};
use crate::kubectl::args::Kubectl;

/// Lets a program in a Kubernetes pod survive the death of its node.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program, or go on with it where its last checkpoint left off.
    Run(Run),
    /// Ask the agent of this container for a checkpoint, after which the container ends and the next one goes on.
    Checkpoint(Checkpoint),
    /// List the checkpoints in an image directory, and what the next start does with each.
    List(Place),
    /// Show what is in a checkpoint: processes, memory, open files and sockets, and who resumed it.
    Inspect(Inspect),
    /// Compare checkpoints with what was committed. Exits with 1 if one is not whole.
    Verify(Verify),
    /// Say whether the program of this container could go on elsewhere, and what is in the way. Exits with 3 if something should be known,
    /// and with 4 if it could not.
    Doctor(Doctor),
    /// Decide with which line of descent the next start goes on, where `list` shows more than one.
    Choose(Choose),
    /// Remove checkpoints that no start would resume, and what is left of interrupted ones.
    Gc(Gc),
    /// Print a file of an image directory, such as a log of CRIU's that is kept there.
    Cat(Cat),
    /// Copy the checkpoints that a start would resume into another image directory, on a volume or in a bucket.
    Copy(Copy),
    /// Put crik, CRIU and their libraries into a directory, for a container whose image has none of them: as /usr/local/lib/crik, with
    /// the programs in bin.
    Install(Install),
    /// Look after pods under crik from outside of the cluster, by kubectl: what `kubectl crik` does where this program is in PATH as
    /// kubectl-crik.
    Kubectl(Kubectl),
    /// Resumes the checkpoint of a trial in a pod of its own; for `crik doctor --trial --manifest`.
    #[command(name = second_pod::SUBCOMMAND, hide = true)]
    TrialPod(TrialPod),
    /// Restores a copy of the program beside it; for `crik run`.
    #[command(name = copy::SUBCOMMAND, hide = true)]
    TrialCopy {
        /// What is to be done.
        arguments: Vec<String>,
    },
    /// Dumps and restores two small processes; for `crik run`, which says what came of it.
    #[command(name = SUBCOMMAND, hide = true)]
    Trial {
        /// Where the images are put.
        directory: PathBuf,
        /// The init's program.
        init: PathBuf,
    },
}

/// Arguments of `crik install`.
#[derive(Debug, clap::Args)]
pub struct Install {
    /// Where they are put.
    pub directory: PathBuf,
}

/// Arguments of `crik inspect`.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// Its number, or `newest`.
    #[arg(value_name = "GEN", default_value = "newest")]
    pub generation: Wanted,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `crik doctor`.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// A process that does not run under crik yet, as ps shows it in this container: what would be in its way if it did.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: Option<i32>,
    /// Take a checkpoint of the program, which goes on, resume a copy of it beside it, see that it makes steps, and remove both. Exits with 4 if
    /// that does not work, and with 3 if it cannot be tried in this container.
    #[arg(long, conflicts_with_all = ["pid", "image_dir"])]
    pub trial: bool,
    /// Where a copy cannot be made in this container: keep the checkpoint for a while, and print a second pod that resumes it, made of this one
    /// as `kubectl get pod NAME -o json` prints it, which is read from standard input.
    #[arg(long, requires = "trial")]
    pub manifest: bool,
    /// The container of the pod that runs under crik, if there are several.
    #[arg(long, value_name = "NAME", requires = "manifest")]
    pub container: Option<String>,
    /// The image directory; by default the agent's, or else the one of the configuration.
    #[arg(long, value_name = "DIR")]
    pub image_dir: Option<PathBuf>,
    /// Configuration file; if there is none at this path, the defaults hold.
    #[arg(long, value_name = "FILE", default_value = limits::CONFIG_PATH)]
    pub config_path: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `crik trial-pod`.
#[derive(Debug, clap::Args)]
pub struct TrialPod {
    /// The number of the checkpoint.
    pub generation: u64,
    /// Where it is.
    pub image: PathBuf,
    /// From where and at what path something stands in for a volume.
    pub volumes: Vec<StoodIn>,
    /// Configuration file; if there is none at this path, the defaults hold.
    #[arg(long, value_name = "FILE", default_value = limits::CONFIG_PATH)]
    pub config_path: PathBuf,
}

/// Arguments of `crik choose`.
#[derive(Debug, clap::Args)]
pub struct Choose {
    /// A checkpoint of the line to go on with: its number, or `newest`.
    #[arg(value_name = "GEN")]
    pub generation: Wanted,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `crik verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Its number, or `newest`; all if it is left out.
    #[arg(value_name = "GEN")]
    pub generation: Option<Wanted>,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `crik gc`.
#[derive(Debug, clap::Args)]
pub struct Gc {
    /// How many are kept; by default `keepGenerations` of the configuration.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Only show what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `crik cat`.
#[derive(Debug, clap::Args)]
pub struct Cat {
    /// Its name in the image directory, as logs tell it.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `crik copy`.
#[derive(Debug, clap::Args)]
pub struct Copy {
    /// The image directory in which they are.
    #[arg(value_name = "SRC")]
    pub from: PathBuf,
    /// The image directory to which they are copied, by the path or address at which pods will have it.
    #[arg(value_name = "DST")]
    pub to: PathBuf,
    /// Only this one: its number, or `newest`.
    #[arg(long, value_name = "GEN")]
    pub generation: Option<Wanted>,
    /// How they are kept there; by default as the configuration says, or else as they are.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Configuration file, which names the keys; if there is none at this path, the defaults hold.
    #[arg(long, value_name = "FILE", default_value = limits::CONFIG_PATH)]
    pub config_path: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `crik checkpoint`.
#[derive(Debug, clap::Args)]
pub struct Checkpoint {
    /// Let the application go on after the checkpoint.
    #[arg(long)]
    pub leave_running: bool,
    /// Let it stand still after the checkpoint until the pod is deleted, so that it does nothing twice; it goes on if nobody does that within a
    /// minute.
    #[arg(long, conflicts_with = "leave_running")]
    pub stay_stopped: bool,
    /// How to print what came of it.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Arguments of `crik run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Configuration file; if there is none at this path, the defaults hold.
    #[arg(long, value_name = "FILE", default_value = limits::CONFIG_PATH)]
    pub config_path: PathBuf,
    /// Say more.
    #[arg(long)]
    pub debug: bool,
    /// How to write the log, which goes to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What stands on the command line. Ends the process if that is nothing that there is.
pub fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| with_the_dashes(error).exit())
}

/// Who forgets the `--` before the program is told so, and not just that its name was not expected.
fn with_the_dashes(mut error: clap::Error) -> clap::Error {
    let program = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(name))) if !name.starts_with('-') => {
            name.clone()
        }
        _ => return error,
    };
    let tip = format!("put -- before the program: crik run -- {program}");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> String {
        with_the_dashes(Cli::try_parse_from(words).unwrap_err()).to_string()
    }

    #[test]
    fn whoever_forgets_the_dashes_is_told_so() {
        let said = said(&["crik", "run", "python3", "app.py"]);
        assert!(said.contains("tip: put -- before the program: crik run -- python3"), "{said}");
    }

    #[test]
    fn an_option_that_there_is_not_is_no_program() {
        assert!(!said(&["crik", "run", "--imagedir", "x", "--", "python3"]).contains("put --"));
    }
}
