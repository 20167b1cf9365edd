//! `crik run`: from the command line to the exit code.

use std::env;

use anyhow::{Context as _, Result};
use nix::sys::signalfd::SignalFd;
use tokio::time::timeout;

use crate::cli::{Cli, Command, Run};
use crate::config::Config;
use crate::ends::{NextStart, Phase, next_start};
use crate::image_dir::{Generation, ImageDir};
use crate::node_state::Node;
use crate::reap::Status;
use crate::start::{Setup, StartError, start};
use crate::stop::{Outcome, stop};
use crate::supervise::{Event, Supervisor, block_signals};
use crate::{checks, commit, criu, exit, limits, logging, reap};

/// Does what the command line says. Returns the exit code.
pub fn main(cli: &Cli) -> i32 {
    let Command::Run(args) = &cli.command;
    logging::init(args.log_format, args.debug);
    let config = match Config::load(&args.config_path) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error}");
            return exit::CONFIGURATION;
        }
    };
    run(args, config).unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        exit_code(&error)
    })
}

fn exit_code(error: &anyhow::Error) -> i32 {
    match error.downcast_ref() {
        Some(StartError::Spawn(error)) => error.exit_code(),
        Some(StartError::NotResumed) => exit::NOT_RESUMED,
        Some(StartError::Init(_)) | None => exit::FAILURE,
    }
}

fn run(args: &Run, config: Config) -> Result<i32> {
    let signals = block_signals().context("cannot block signals")?;
    // SAFETY: no other thread runs yet.
    unsafe { criu::prepare_environment() };
    // Whatever the tree loses comes to us, also where another program is the container's PID 1.
    nix::sys::prctl::set_child_subreaper(true).context("cannot become a subreaper")?;
    let node = env::var(limits::NODE_NAME_VARIABLE).ok();
    let setup = Setup { config, command: args.command.clone(), node };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let code = runtime.block_on(live(&setup, signals));
    // A blocking step that hangs on a dead volume must not hold the exit up.
    runtime.shutdown_background();
    code
}

/// Starts the tree, watches over it, and ends as it ends.
async fn live(setup: &Setup, signals: SignalFd) -> Result<i32> {
    let url = setup.config.node_state_server_url.as_deref();
    let node = url.map(|url| Node::follow(url, setup.node.as_deref()));
    let started = start(setup).await?;
    keep_house(setup, started.resumed);
    let mut supervisor = Supervisor::new(signals, started.root)?;
    let (mut phase, mut rest) = (Phase::Running, None);
    loop {
        match supervisor.next().await? {
            Event::Ended(status) => {
                if let Some(rest) = rest {
                    let _ = timeout(limits::CLEAN_UP_PATIENCE, rest).await;
                }
                return Ok(end(setup, phase, status));
            }
            // Once the application is told to stop, a further SIGTERM is for it too.
            Event::Signal(libc::SIGTERM) if phase == Phase::Running => {
                match stop(setup, &started, node.as_ref(), &mut supervisor).await? {
                    Outcome::Checkpointed => return Ok(leave(setup)),
                    Outcome::Passed(now, left) => (phase, rest) = (now, left),
                    Outcome::Ended(status) => return Ok(end(setup, phase, status)),
                }
            }
            Event::Signal(signal) => supervisor.forward(signal),
        }
    }
}

/// Says what is in the way of a checkpoint, and removes generations that later ones have made superfluous. Beside the
/// application, which runs in any case and must not wait for it; and not at the stop, where every moment counts.
fn keep_house(setup: &Setup, resumed: Option<Generation>) {
    let Some(image_dir) = setup.config.image_dir.clone() else {
        tracing::warn!("no imageDir is configured, so no checkpoint will be taken");
        return;
    };
    let keep = setup.config.keep_generations;
    tokio::task::spawn_blocking(move || {
        for obstacle in checks::obstacles(&image_dir) {
            tracing::warn!(step = "check", "no checkpoint can be taken here: {obstacle}");
        }
        // After a fresh start nothing has proven to be superfluous.
        let Some(proven) = resumed else { return };
        if let Err(error) = ImageDir::open(&image_dir).and_then(|dir| commit::retain(&dir, proven, keep)) {
            tracing::warn!("older generations cannot be removed: {error}");
        }
    });
}

fn leave(setup: &Setup) -> i32 {
    reap::end_all_children();
    setup.config.exit_code.checkpointed.into()
}

/// The application has ended: marks the end if it is one, ends what it left behind, and passes its status on.
fn end(setup: &Setup, phase: Phase, status: Status) -> i32 {
    if let (NextStart::Fresh, Some(path)) = (next_start(phase, status), &setup.config.image_dir) {
        ImageDir::end(path, &status.to_string());
    }
    tracing::info!(step = "exit", "the application ended: {status}");
    reap::end_all_children();
    status.exit_code()
}
