//! What CRIU runs at its pauses where it is called by a command line (criu(8), `--action-script`): this program, which asks the agent and
//! ends as that says. CRIU hands no descriptor down to it, so the agent listens at a path.

use std::env;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pause::Pause;
use crate::base::limits;
use crate::base::panics::contained_now;

/// Where CRIU says what it is at.
const ACTION: &str = "CRTOOLS_SCRIPT_ACTION";

/// Where CRIU is told, and so tells its scripts, where the agent listens.
const AGENT: &str = "CRIK_ACTION_SOCKET";

/// How the socket is called.
const SOCKET: &str = "actions.sock";

/// What the agent says; nothing means no.
const GO_ON: u8 = b'y';

/// Plays the script, if that is what this program was started for. Returns its exit code.
pub(super) fn play() -> Option<i32> {
    let (action, agent) = (env::var(ACTION).ok()?, env::var_os(AGENT)?);
    let is_awaited = Pause::of(&action).is_some();
    Some(i32::from(is_awaited && !ask(Path::new(&agent), &action).unwrap_or(false)))
}

fn ask(agent: &Path, action: &str) -> io::Result<bool> {
    let mut agent = UnixStream::connect(agent)?;
    agent.write_all(action.as_bytes())?;
    agent.shutdown(Shutdown::Write)?;
    let mut answer = [0];
    Ok(agent.read(&mut answer)? == 1 && answer[0] == GO_ON)
}

/// The agent's end.
pub(super) struct Actions {
    listener: UnixListener,
    path: PathBuf,
}

impl Actions {
    /// Listens in this directory.
    ///
    /// # Errors
    /// It takes no socket.
    pub fn begin(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Has the CRIU that `command` starts ask here.
    pub fn tell(&self, command: &mut Command) {
        command.env(AGENT, &self.path).arg(format!("--action-script=/proc/{}/exe", std::process::id()));
    }

    /// What can be read when CRIU pauses.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Answers what CRIU asks.
    ///
    /// # Errors
    /// Who asks has gone.
    pub fn answer(&self, hook: &mut dyn FnMut(Pause) -> io::Result<()>) -> io::Result<()> {
        let (mut script, _) = self.listener.accept()?;
        let mut action = String::new();
        (&mut script).take(limits::ACTION_BYTES).read_to_string(&mut action)?;
        let Some(pause) = Pause::of(&action) else { return Ok(()) };
        let outcome = contained_now(|| hook(pause)).unwrap_or_else(|defect| Err(io::Error::other(defect)));
        match outcome {
            Ok(()) => script.write_all(&[GO_ON]),
            Err(error) => {
                tracing::warn!("CRIU is told to give it up: {error}");
                Ok(())
            }
        }
    }
}
