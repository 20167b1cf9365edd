//! `crik checkpoint`: asks the agent of this container for a checkpoint.

use std::io::{BufRead, BufReader, Write as _};
use std::mem::ManuallyDrop;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::args::Checkpoint;
use super::progress_bar::ProgressBar;
use crate::base::output::print;
use crate::base::units;
use crate::supervise::control_socket::{self, Answer, CheckpointRequest, Committed};

/// Asks, shows how far it is, and prints what came of it.
///
/// # Errors
/// There is no agent, or no checkpoint.
pub fn checkpoint(args: &Checkpoint) -> Result<()> {
    let mut stream =
        control_socket::address().and_then(|address| UnixStream::connect_addr(&address)).context(
            "no agent of crik runs in this container; use kubectl exec into the container that it runs",
        )?;
    let &Checkpoint { leave_running, stay_stopped, .. } = args;
    let request = serde_json::to_string(&CheckpointRequest { leave_running, stay_stopped })?;
    writeln!(stream, "{request}").context("the agent does not listen")?;
    // Left open until this process ends, with its exit code: the agent waits for that before it ends the container.
    let stream = ManuallyDrop::new(stream);
    let committed = follow(BufReader::new(&*stream))?;
    print(args.output, &committed, told)
}

fn follow(answers: impl BufRead) -> Result<Committed> {
    let shown = ProgressBar::new(0);
    for line in answers.lines() {
        let answer = serde_json::from_str(&line.context("the agent has gone")?)
            .context("the agent is of another release; run the crik of this container")?;
        match answer {
            Answer::Progress(now) => shown.set(now.written, now.expected),
            Answer::Committed(committed) => return Ok(committed),
            // Nobody has asked for it.
            Answer::Known(_) | Answer::Tried(_) => {}
            Answer::Failed(reason) => bail!("no checkpoint: {reason}"),
        }
    }
    bail!("the agent ended before it answered; its log says why")
}

fn told(committed: &Committed) -> String {
    let then = match (committed.stands_still_ms, committed.pause_ms) {
        (Some(ms), _) => format!(
            "the application stands still until its pod is deleted, and goes on here if that is not done within {:.0?}",
            Duration::from_millis(ms)
        ),
        (None, Some(ms)) => format!("the application stood still for {ms} ms"),
        (None, None) => {
            "the container ends now, and the next one goes on; to move it, cordon the node and delete the pod"
                .to_owned()
        }
    };
    format!("generation {} is durable, {}; {then}\n", committed.generation, units::bytes(committed.bytes))
}
