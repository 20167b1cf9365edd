//! `crik run`: from the command line to the exit code.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signalfd::SignalFd;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::checkpoint::Checkpointer;
use crate::cli::{Cli, Command, Run};
use crate::config::Config;
use crate::ends::{NextStart, Phase, next_start};
use crate::node_state::Node;
use crate::pod::Pod;
use crate::reap::Status;
use crate::signals::{Signals, block_signals};
use crate::start::{Setup, StartError, start};
use crate::stop::{Outcome, mark_ended, stop};
use crate::supervise::{Event, Supervisor};
use crate::{criu, exit, house, limits, logging, reap};

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
        Some(StartError::NotResumed | StartError::Claimed(_)) => exit::NOT_RESUMED,
        Some(StartError::Stopped(signal)) => exit::SIGNAL_BASE + signal,
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
    let setup = Arc::new(Setup { config, command: args.command.clone(), pod: Pod::here(node.as_deref()) });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let code = runtime.block_on(live(&setup, signals));
    // A blocking step that hangs on a dead volume must not hold the exit up.
    runtime.shutdown_background();
    code
}

/// Starts the tree, watches over it, and ends as it ends.
async fn live(setup: &Arc<Setup>, signals: SignalFd) -> Result<i32> {
    let url = setup.config.node_state_server_url.as_deref();
    let node = url.map(|url| Node::follow(url, setup.pod.node.as_deref()));
    let signals = Signals::new(signals)?;
    let started = start(setup, &signals).await?;
    let mut supervisor = Supervisor::new(signals, started.root);
    let checkpointer = Checkpointer::new(setup, started);
    house::keep(&checkpointer);
    let (mut phase, mut rest) = (Phase::Running, None);
    loop {
        match supervisor.next().await? {
            Event::Ended(status) => {
                if let Some(rest) = rest {
                    let _ = timeout(limits::CLEAN_UP_PATIENCE, rest).await;
                }
                return Ok(end(&checkpointer, phase, status).await);
            }
            // Once the application is told to stop, a further SIGTERM is for it too.
            Event::Signal(libc::SIGTERM) if phase == Phase::Running => {
                match stop(&checkpointer, node.as_ref(), &mut supervisor).await? {
                    Outcome::Checkpointed => return Ok(leave(&checkpointer).await),
                    Outcome::Passed(now, left) => (phase, rest) = (now, left),
                    Outcome::Ended(status) => return Ok(end(&checkpointer, phase, status).await),
                }
            }
            Event::Signal(signal) => supervisor.forward(signal),
        }
    }
}

/// The image is durable, and the next pod may have it.
async fn leave(checkpointer: &Checkpointer) -> i32 {
    reap::end_all_children();
    give_back(checkpointer, None, limits::CLEAN_UP_PATIENCE).await;
    checkpointer.setup.config.exit_code.checkpointed.into()
}

/// The application has ended: marks the end if it is one, ends what it left behind, and passes its status on.
async fn end(checkpointer: &Checkpointer, phase: Phase, status: Status) -> i32 {
    tracing::info!(step = "exit", "the application ended: {status}");
    reap::end_all_children();
    let fresh = next_start(phase, status) == NextStart::Fresh;
    give_back(checkpointer, fresh.then_some(status), limits::END_PATIENCE).await;
    status.exit_code()
}

/// Gives the image directory back, after marking an end if there is one to mark. A volume that hangs holds up nobody for
/// ever.
async fn give_back(checkpointer: &Checkpointer, ended: Option<Status>, patience: Duration) {
    let Some(hold) = checkpointer.hold() else { return };
    let done = spawn_blocking(move || {
        ended.iter().for_each(|status| mark_ended(&hold, &status.to_string()));
        hold.release();
    });
    if timeout(patience, done).await.is_err() {
        tracing::error!(
            "the volume does not answer; the image directory is not given back, nor an end marked"
        );
    }
}
