//! The termination message, which `kubectl describe pod` shows when the log is long gone.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::base::limits;

/// Adds a line to it, if the container has a file for it. A program may write there too, so nothing is replaced.
pub fn tell(text: &str) {
    let text: String = text.chars().take(limits::TERMINATION_MESSAGE_MAX_CHARS).collect();
    let file = OpenOptions::new().append(true).open(limits::TERMINATION_LOG);
    // Where there is none, the log has it.
    let _ = file.and_then(|mut file| writeln!(file, "crik: {text}"));
}
