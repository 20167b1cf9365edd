//! The log: one line for each step of a story, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use clap::ValueEnum;

/// Installs the log for the whole process. `debug` shows our own debug lines, never those of libraries.
pub fn init(format: LogFormat, debug: bool) {
    let level = if debug { "debug" } else { "info" };
    let filter = EnvFilter::new(format!("warn,crik_agent={level},crik_store={level}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Human => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}
