//! Why a configuration cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not YAML, has an unknown key or a value of the wrong type.
    #[error("the configuration {path} is wrong: {}; every key is described in the README", told(.source))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, with the place in the file.
        source: serde_path_to_error::Error<serde_yaml::Error>,
    },
    /// A value that no start could work with.
    #[error("the configuration {path} is wrong: {key}: {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// The parser tells most errors with the key already.
fn told(error: &serde_path_to_error::Error<serde_yaml::Error>) -> String {
    let (key, inner) = (error.path().to_string(), error.inner().to_string());
    if inner.starts_with(&format!("{key}: ")) { inner } else { error.to_string() }
}

/// A problem before it is known in which file.
#[derive(Debug)]
pub(super) enum Problem {
    Yaml(serde_path_to_error::Error<serde_yaml::Error>),
    Value(&'static str, String),
}

impl Problem {
    pub(super) fn at(self, path: &Path) -> ConfigError {
        match self {
            Self::Yaml(source) => ConfigError::Parse { path: path.into(), source },
            Self::Value(key, problem) => ConfigError::Value { path: path.into(), key, problem },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_key_is_told_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (yaml, key) in [
            ("keepGenerations: two", "keepGenerations"),
            ("gracePeriod: 30", "gracePeriod"),
            ("carry: {maxBytes: much}", "maxBytes"),
            ("graceperiod: 30s", "graceperiod"),
            ("hooks: {preCheckpoint: 7}", "hooks.preCheckpoint"),
        ] {
            std::fs::write(file.path(), yaml).unwrap();
            let told = Config::load(file.path()).unwrap_err().to_string();
            assert_eq!(told.matches(&format!("{key}: ")).count(), 1, "{told}");
        }
    }
}
