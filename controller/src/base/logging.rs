//! The log, on standard error.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// Installs the log for the whole process.
pub fn init(format: LogFormat, debug: bool) {
    // What kube logs as errors it also returns, and the source of nodes says it once.
    let filter = EnvFilter::new(if debug {
        "info,crik_controller=debug"
    } else {
        "warn,kube_client=off,kube_runtime=off,crik_controller=info"
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Human => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
