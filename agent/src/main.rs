//! `crik`: the agent's program.

use std::process;

use clap::Parser;
use crik_agent::cli::Cli;

fn main() {
    process::exit(crik_agent::run::main(&Cli::parse()))
}
