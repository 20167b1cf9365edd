//! `crik run`: from the command line to the exit code.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use crik_store::generation::keys::GenerationKeys;
use crik_store::image_dir::buckets;
use crik_store::image_dir::pod::Pod;
use tokio::runtime::Builder;

use super::args::Run;
use crate::base::private_directory::PrivateDirectory;
use crate::base::signals::block_signals;
use crate::base::whole_story::whole_story;
use crate::base::{exit_codes, limits, logging, memory, termination_message};
use crate::carry::files::{self, beginning};
use crate::carry::{left_overs, terminal};
use crate::config::Config;
use crate::supervise::lifecycle::live;
use crate::supervise::start::StartError;
use crate::tree::criu;
use crate::tree::process::{loopback_device, rights};
use crate::workload::Workload;

/// `crik run`. Returns the exit code.
pub fn run(args: &Run) -> i32 {
    memory::keep_little();
    logging::init(args.log_format, args.debug);
    let config = match Config::load(&args.config_path) {
        Ok(config) => config,
        Err(error) => return ends(&error.to_string(), exit_codes::CONFIGURATION),
    };
    let keys = match keys(&config) {
        Ok(keys) => keys,
        Err(error) => return ends(&whole_story(&error), exit_codes::CONFIGURATION),
    };
    supervise(args, config, keys).unwrap_or_else(|error| ends(&whole_story(&error), exit_code(&error)))
}

fn keys(config: &Config) -> Result<GenerationKeys> {
    let encryption = config.encryption_keys()?.map(Arc::new);
    Ok(GenerationKeys { signing: config.keys()?, encryption })
}

/// Says why nothing runs, also where `kubectl describe` finds it.
fn ends(why: &str, code: i32) -> i32 {
    tracing::error!("{why}");
    termination_message::tell(why);
    code
}

fn exit_code(error: &anyhow::Error) -> i32 {
    match error.downcast_ref() {
        Some(StartError::Spawn(error)) => error.exit_code(),
        Some(StartError::NotResumed | StartError::Unread(_) | StartError::Held(_)) => exit_codes::NOT_RESUMED,
        Some(StartError::Stopped(signal)) => exit_codes::SIGNAL_BASE + signal,
        Some(StartError::Init(_)) | None => exit_codes::FAILURE,
    }
}

fn supervise(args: &Run, config: Config, keys: GenerationKeys) -> Result<i32> {
    // Before it is noted when the program's own changes begin.
    files::sweep();
    left_overs::sweep_clocks();
    beginning::note();
    // Where it may not be, what is in the way is told with all else.
    let _ = loopback_device::bring_up();
    terminal::leave_to_program();
    let signals = block_signals().context("cannot block signals")?;
    // SAFETY: no other thread runs yet.
    unsafe {
        rights::give_back_environment();
        criu::prepare_environment();
    }
    // Whatever the tree loses comes to us, also where another program is the container's PID 1.
    nix::sys::prctl::set_child_subreaper(true).context("cannot become a subreaper")?;
    let node = env::var(limits::NODE_NAME_VARIABLE).ok();
    let workload =
        Arc::new(Workload { config, keys, command: args.command.clone(), pod: Pod::here(node.as_deref()) });
    // Its threads cannot begin in a step.
    workload.config.image_dir.iter().for_each(|path| buckets::connect(path, PrivateDirectory::place()));
    let runtime = Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(limits::BLOCKING_THREAD_LIFE)
        .build()
        .context("cannot start")?;
    let code = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(&workload, signals))));
    // A blocking step that hangs on a dead volume must not hold the exit up, not even that of a panic.
    runtime.shutdown_background();
    code.unwrap_or_else(|panic| resume_unwind(panic))
}
