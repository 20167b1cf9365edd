//! The subcommands by which a person looks into an image directory, one file each.

mod checkpoint;
mod gc;
mod inspect;
mod list;
mod progress;
mod table;
mod verify;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::cli::{Command, Output, Place, Wanted};
use crate::config::Config;
use crate::exit;
use crate::hold::HoldError;
use crate::image_dir::{Generation, ImageDir};

/// Does what the command line says. Returns the exit code.
pub fn main(command: &Command) -> i32 {
    let done = match command {
        Command::Checkpoint(args) => checkpoint::checkpoint(args).map(|()| 0),
        Command::List(place) => list::list(place).map(|()| 0),
        Command::Inspect(args) => inspect::inspect(args).map(|()| 0),
        Command::Verify(args) => verify::verify(args),
        Command::Gc(args) => gc::gc(args).map(|()| 0),
        Command::Run(_) => Ok(exit::FAILURE),
    };
    done.unwrap_or_else(|error| {
        eprintln!("crik: {error:#}");
        let held = matches!(error.downcast_ref(), Some(HoldError::Held(_)));
        if held { exit::NOT_RESUMED } else { exit::FAILURE }
    })
}

impl Place {
    fn config(&self) -> Result<Config> {
        Ok(Config::load(&self.config_path)?)
    }

    fn path(&self, config: &Config) -> Result<PathBuf> {
        let path = self.image_dir.clone().or_else(|| config.image_dir.clone());
        path.with_context(|| format!("{} has no imageDir; give --image-dir", self.config_path.display()))
    }

    fn look(&self) -> Result<(ImageDir, Config)> {
        let config = self.config()?;
        Ok((ImageDir::look(&self.path(&config)?)?, config))
    }
}

impl Wanted {
    fn find(self, dir: &ImageDir) -> Result<Generation> {
        let all = dir.list()?;
        let found = match self {
            Self::Newest => all.first().copied(),
            Self::Number(number) => all.into_iter().find(|generation| generation.0 == number),
        };
        match (found, self) {
            (Some(generation), _) => Ok(generation),
            (None, Self::Newest) => bail!("{} has no checkpoint", dir.root().display()),
            (None, Self::Number(number)) => bail!("there is no checkpoint {number}; see crik list"),
        }
    }
}

/// Prints for people or for programs.
fn print<T: Serialize>(output: Output, what: &T, table: impl FnOnce(&T) -> String) -> Result<()> {
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
