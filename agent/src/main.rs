//! `crik`: the agent's program.

use std::process;

use clap::Parser;
use crik_agent::cli::{Cli, Command};
use crik_agent::{run, tools};

fn main() {
    let code = match Cli::parse().command {
        Command::Run(args) => run::main(&args),
        other => tools::main(&other),
    };
    process::exit(code)
}
