//! `kubectl crik checkpoint`: a checkpoint of a pod's program, with its progress where somebody watches.

use std::io::{IsTerminal as _, stderr, stdin, stdout};

use anyhow::Result;

use super::args::Checkpoint;
use super::client::Client;
use super::in_pod::InPod;
use super::pod::Pod;
use crate::base::output::Output;

/// What kubectl is told so that the crik in the pod has a terminal to show its progress on.
const TERMINAL: [&str; 2] = ["--stdin", "--tty"];

/// Takes one. Returns the exit code of `crik checkpoint`.
///
/// # Errors
/// There is no such pod.
pub fn checkpoint(client: &Client, args: &Checkpoint) -> Result<i32> {
    let pod = Pod::get(client, &args.pod)?;
    let crik = InPod::of(client, &pod, args.pod.container.as_deref())?;
    let mut asked = vec!["checkpoint"];
    if args.leave_running {
        asked.push("--leave-running");
    }
    if args.output == Output::Json {
        asked.extend(["--output", "json"]);
    }
    let is_watched = stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal();
    crik.show(if is_watched { &TERMINAL } else { &[] }, &asked)
}
