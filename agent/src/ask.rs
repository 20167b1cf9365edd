//! `crik checkpoint`: asks the agent of this container for a checkpoint.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::cli::{Checkpoint, Output};
use crate::control::{self, Answer, Committed, Request};
use crate::dump_progress::Progress;
use crate::{limits, room};

/// Asks, shows how far it is, and prints what came of it.
///
/// # Errors
/// There is no agent, or no checkpoint.
pub fn checkpoint(args: &Checkpoint) -> Result<()> {
    let mut stream = control::address().and_then(|address| UnixStream::connect_addr(&address)).context(
        "no agent of crik runs in this container; use kubectl exec into the container that it runs",
    )?;
    let request = serde_json::to_string(&Request { leave_running: args.leave_running })?;
    writeln!(stream, "{request}").context("the agent does not listen")?;
    let committed = follow(BufReader::new(stream))?;
    print(&committed, args.output)
}

fn follow(answers: impl BufRead) -> Result<Committed> {
    let (began, mut shown) = (Instant::now(), false);
    for line in answers.lines() {
        let answer = serde_json::from_str(&line.context("the agent has gone")?)
            .context("the agent is of another release; run the crik of this container")?;
        match answer {
            Answer::Progress(progress) if began.elapsed() >= limits::PROGRESS_AFTER => {
                shown = true;
                show(progress, began);
            }
            Answer::Progress(_) => {}
            Answer::Committed(committed) => {
                if shown {
                    eprintln!();
                }
                return Ok(committed);
            }
            Answer::Failed(reason) => bail!("no checkpoint: {reason}"),
        }
    }
    bail!("the agent ended before it answered; its log says why")
}

fn show(progress: Progress, began: Instant) {
    let speed = progress.written as f64 / began.elapsed().as_secs_f64();
    eprint!(
        "\r{} of about {} are written, {}/s  ",
        room::bytes(progress.written),
        room::bytes(progress.expected),
        room::bytes(speed as u64)
    );
}

fn print(committed: &Committed, output: Output) -> Result<()> {
    let mut out = io::stdout().lock();
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(committed)?)?,
        Output::Table => {
            let pause = committed.pause_ms.map_or_else(
                || "the pod ends now, and the next one goes on".to_owned(),
                |ms| format!("the application stood still for {ms} ms"),
            );
            writeln!(
                out,
                "generation {} is durable, {}; {pause}",
                committed.generation,
                room::bytes(committed.bytes)
            )?;
        }
    }
    Ok(())
}
