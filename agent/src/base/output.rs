//! Results, for people or for programs.

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Prints for people or for programs.
///
/// # Errors
/// Nobody can be told.
pub fn print<T: Serialize>(output: Output, what: &T, table: impl FnOnce(&T) -> String) -> Result<()> {
    use std::io::Write as _;
    let text = match output {
        Output::Table => table(what),
        Output::Json => serde_json::to_string_pretty(what)? + "\n",
    };
    // A reader that has seen enough, such as head, is no error.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
