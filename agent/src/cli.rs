//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::limits;

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
    /// Ask the agent of this container for a checkpoint, after which the pod ends and the next one goes on.
    Checkpoint(Checkpoint),
}

/// Arguments of `crik checkpoint`.
#[derive(Debug, clap::Args)]
pub struct Checkpoint {
    /// Let the application go on after the checkpoint.
    #[arg(long)]
    pub leave_running: bool,
    /// How to print what came of it.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
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

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}
