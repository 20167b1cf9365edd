//! Asks the agent for a trial, for `crik doctor`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail};

use crate::base::exit_codes;
use crate::supervise::control_socket::{self, Answer, TrialRequest};
use crate::supervise::trial::{Shown, Tried};

/// Has the agent try it; or have the checkpoint kept, for another pod.
///
/// # Errors
/// There is no agent, or no trial.
pub fn ask(keep: bool) -> Result<Tried> {
    let mut stream =
        control_socket::address().and_then(|address| UnixStream::connect_addr(&address)).context(
            "no agent of crik runs in this container; use kubectl exec into the container that it runs",
        )?;
    writeln!(stream, "{}", serde_json::to_string(&TrialRequest { trial: true, keep })?)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line.context("the agent has gone")?)
            .context("the agent is of another release; run the crik of this container")?
        {
            Answer::Tried(tried) => return Ok(*tried),
            Answer::Failed(why) => bail!("no trial: {why}"),
            _ => {}
        }
    }
    bail!("the agent ended before it answered; its log says why")
}

/// What a trial ends with.
pub fn exit_code(shown: Shown) -> i32 {
    match shown {
        Shown::Resumed | Shown::Kept => 0,
        Shown::NotTried => exit_codes::WARNED,
        Shown::Failed => exit_codes::NOT_PROTECTED,
    }
}
