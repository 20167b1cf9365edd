//! Which image directory, and which checkpoint in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use crik_store::image_dir::{Generation, ImageDir, buckets};

use crate::base::limits;
use crate::base::output::Output;
use crate::config::Config;

/// Where the image directory is, and how to print what is in it.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The image directory; by default the one of the configuration.
    #[arg(long, value_name = "DIR")]
    pub image_dir: Option<PathBuf>,
    /// Configuration file; if there is none at this path, the defaults hold.
    #[arg(long, value_name = "FILE", default_value = limits::CONFIG_PATH)]
    pub config_path: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// A checkpoint on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The newest.
    Newest,
    /// The one of this number.
    Number(u64),
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "newest" => Ok(Self::Newest),
            _ => text
                .parse()
                .map(Self::Number)
                .map_err(|_| "give its number or newest; see crik list".to_owned()),
        }
    }
}

impl Place {
    fn config(&self) -> Result<Config> {
        Ok(Config::load(&self.config_path)?)
    }

    fn path(&self, config: &Config) -> Result<PathBuf> {
        let path = self.image_dir.clone().or_else(|| config.image_dir.clone());
        path.with_context(|| format!("{} has no imageDir; give --image-dir", self.config_path.display()))
    }

    /// The image directory, and the configuration.
    ///
    /// # Errors
    /// There is none.
    pub fn look(&self) -> Result<(ImageDir, Config)> {
        let config = self.config()?;
        let path = self.path(&config)?;
        Ok((look(&path)?, config))
    }
}

/// The image directory in this place, on a volume or in a bucket.
///
/// # Errors
/// There is none.
pub fn look(root: &Path) -> Result<ImageDir> {
    buckets::connect(root, &std::env::temp_dir());
    Ok(ImageDir::look(root)?)
}

impl Wanted {
    /// Finds it.
    ///
    /// # Errors
    /// There is no such checkpoint.
    pub fn find(self, dir: &ImageDir) -> Result<Generation> {
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
