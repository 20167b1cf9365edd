//! The configuration file.
//!
//! `imageDir`, `nodeStateServerURL`, `additionalPaths` and `inotifyIncompatiblePaths` are the Go program's keys and
//! mean what they meant there. Every other key is optional.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use crik_api::NodeState;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::{exit, limits};

/// What `crik run` is told by its file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The image directory. Without one nothing is ever checkpointed.
    pub image_dir: Option<PathBuf>,
    /// The controller's address. Without one every SIGTERM means a checkpoint.
    #[serde(rename = "nodeStateServerURL")]
    pub node_state_server_url: Option<String>,
    /// Files and directories outside the container's image that the tree has open and the next pod will lack.
    pub additional_paths: Vec<PathBuf>,
    /// Paths removed before a checkpoint, since CRIU could not restore the inotify watches on them.
    pub inotify_incompatible_paths: Vec<PathBuf>,
    /// The node states that mean a checkpoint.
    #[serde(deserialize_with = "node_states")]
    pub checkpoint_on: Vec<NodeState>,
    /// What to do when the node's state cannot be learned.
    pub on_unknown: OnUnknown,
    /// How long after a SIGTERM a node's state may still turn.
    #[serde(deserialize_with = "duration")]
    pub decision_timeout: Duration,
    /// How long the pod has from SIGTERM to SIGKILL.
    #[serde(deserialize_with = "duration")]
    pub grace_period: Duration,
    /// The part of the grace period that is kept for the application's own shutdown.
    #[serde(deserialize_with = "duration")]
    pub reserve: Duration,
    /// How many generations are kept.
    pub keep_generations: u32,
    /// Whether the hashes of an image are compared before it is resumed; its sizes always are.
    pub verify_hashes: bool,
    /// The file with the key that generations are signed with. Without one they are not.
    pub signing_key_file: Option<PathBuf>,
    /// How often one generation may be resumed.
    pub max_restores: u32,
    /// What to do when there are generations and none can be resumed.
    pub on_restore_failure: OnRestoreFailure,
    /// How long a restore may take.
    #[serde(deserialize_with = "duration")]
    pub restore_timeout: Duration,
    /// How long the volume may take to answer at a start.
    #[serde(deserialize_with = "duration")]
    pub volume_timeout: Duration,
    /// What to do when another pod that lives holds the image directory.
    pub on_claimed: OnClaimed,
    /// How long to wait for such a pod.
    #[serde(deserialize_with = "duration")]
    pub claim_timeout: Duration,
    /// After how long without a sign of life of this pod another one may take the image directory over.
    #[serde(deserialize_with = "duration")]
    pub claim_expiry: Duration,
    /// How often a checkpoint is taken while the application goes on.
    #[serde(deserialize_with = "some_duration")]
    pub interval: Option<Duration>,
    /// Commands to run beside a checkpoint and a restore.
    pub hooks: Hooks,
    /// Exit codes that can be chosen.
    pub exit_code: ExitCode,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            image_dir: None,
            node_state_server_url: None,
            additional_paths: Vec::new(),
            inotify_incompatible_paths: Vec::new(),
            checkpoint_on: vec![
                NodeState::Cordoned,
                NodeState::Draining,
                NodeState::ShuttingDown,
                NodeState::Gone,
            ],
            on_unknown: OnUnknown::Checkpoint,
            decision_timeout: Duration::from_secs(2),
            grace_period: Duration::from_secs(30),
            reserve: Duration::from_secs(5),
            keep_generations: 2,
            verify_hashes: true,
            signing_key_file: None,
            max_restores: 3,
            on_restore_failure: OnRestoreFailure::Fresh,
            restore_timeout: Duration::from_secs(600),
            volume_timeout: Duration::from_secs(30),
            on_claimed: OnClaimed::Wait,
            claim_timeout: Duration::from_secs(300),
            claim_expiry: Duration::from_secs(60),
            interval: None,
            hooks: Hooks::default(),
            exit_code: ExitCode::default(),
        }
    }
}

/// What an undetermined node state means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// A checkpoint that nobody needs is cheap; one that is missing is not.
    Checkpoint,
    /// The application is told to stop.
    Terminate,
}

/// What the ladder's last rung is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRestoreFailure {
    /// The application starts from its beginning.
    Fresh,
    /// The agent exits, for a person to look.
    Fail,
}

/// What a pod does whose image directory is held by another one that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnClaimed {
    /// It waits, and exits if that takes longer than `claimTimeout`.
    Wait,
    /// The application starts from its beginning and is not checkpointed.
    Fresh,
    /// The agent exits, for the kubelet to try again.
    Fail,
}

/// Commands to run beside a checkpoint and a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hooks {
    /// Before the tree is frozen.
    pub pre_checkpoint: Option<Hook>,
    /// When the tree is restored, before its first instruction.
    pub post_restore: Option<Hook>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may take.
    #[serde(deserialize_with = "duration", default = "hook_timeout")]
    pub timeout: Duration,
    /// What its failure means.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What the failure of a hook means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing but a line in the log.
    #[default]
    Ignore,
    /// That the checkpoint, or the restore of this generation, has failed.
    Fail,
}

fn hook_timeout() -> Duration {
    Duration::from_secs(5)
}

/// Exit codes that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExitCode {
    /// After a committed checkpoint.
    pub checkpointed: u8,
}

impl Default for ExitCode {
    fn default() -> Self {
        Self { checkpointed: exit::CHECKPOINTED as u8 }
    }
}

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
    #[error("the configuration {path} is wrong: {source}; every key is described in the README")]
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

impl Config {
    /// Reads the file at `path`; when there is none, the defaults hold.
    ///
    /// # Errors
    /// Everything about the file that a person has to correct, named by key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Read { path: path.into(), source }),
        };
        Self::parse(&text, |name| env::var(name).ok()).map_err(|problem| problem.at(path))
    }

    fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        // A file of comments alone is YAML's null, and means the defaults as an empty one does.
        let yaml = serde_yaml::Deserializer::from_str(text);
        let config: Option<Self> = serde_path_to_error::deserialize(yaml).map_err(Problem::Yaml)?;
        let mut config = config.unwrap_or_default();
        if let Some(dir) = &config.image_dir {
            config.image_dir = Some(expand(dir, variable)?);
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Problem> {
        let wrong = |key, problem: &str| Err(Problem::Value(key, problem.to_owned()));
        if self.image_dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
            return wrong("imageDir", "must be an absolute path, such as /checkpoints/${POD_NAME}");
        }
        if self.additional_paths.iter().chain(&self.inotify_incompatible_paths).any(|p| !p.is_absolute()) {
            return wrong("additionalPaths, inotifyIncompatiblePaths", "every path must be absolute");
        }
        if self.node_state_server_url.as_ref().is_some_and(|url| !url.starts_with("http://")) {
            return wrong(
                "nodeStateServerURL",
                "must start with http://, such as http://crik-controller:9376",
            );
        }
        if self.keep_generations == 0 {
            return wrong("keepGenerations", "must be at least 1, or no checkpoint could be resumed");
        }
        if self.signing_key_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return wrong("signingKeyFile", "must be an absolute path, such as /etc/crik-key/key");
        }
        if self.signing_key_file.is_some() && !self.verify_hashes {
            return wrong(
                "verifyHashes",
                "must not be false with signingKeyFile: a signature vouches for hashes",
            );
        }
        if self.max_restores == 0 {
            return wrong(
                "maxRestores",
                "must be at least 1; leave imageDir out if nothing is ever to be resumed",
            );
        }
        if self.checkpoint_on.contains(&NodeState::Unknown) {
            return wrong("checkpointOn", "unknown is not for this list; see onUnknown");
        }
        if self.grace_period > limits::GRACE_PERIOD_MAX {
            return wrong("gracePeriod", "must be at most a day");
        }
        if self.claim_expiry < limits::CLAIM_EXPIRY_MIN {
            return wrong(
                "claimExpiry",
                "must be at least 1s, or a busy volume looks like a pod that is gone",
            );
        }
        if self.interval.is_some_and(|interval| interval < limits::INTERVAL_MIN) {
            return wrong("interval", "must be at least 1s; leave it out for no periodic checkpoints");
        }
        if self.restore_timeout.is_zero() || self.volume_timeout.is_zero() {
            return wrong("restoreTimeout, volumeTimeout", "must be longer than 0s");
        }
        if self.reserve.saturating_add(self.decision_timeout) >= self.grace_period {
            return wrong("gracePeriod", "must be longer than reserve and decisionTimeout together");
        }
        self.hooks.check(self.grace_period - self.reserve - self.decision_timeout)
    }
}

impl Hooks {
    fn check(&self, left: Duration) -> Result<(), Problem> {
        let wrong = |key, problem: &str| Err(Problem::Value(key, problem.to_owned()));
        let empty = |hook: &Option<Hook>| hook.as_ref().is_some_and(|hook| hook.command.is_empty());
        if empty(&self.pre_checkpoint) || empty(&self.post_restore) {
            return wrong("hooks", "command must have at least the program, such as [/bin/sync]");
        }
        if self.pre_checkpoint.as_ref().is_some_and(|hook| hook.timeout >= left) {
            return wrong(
                "hooks.preCheckpoint.timeout",
                "must be shorter than gracePeriod less reserve and decisionTimeout, or no checkpoint could follow",
            );
        }
        Ok(())
    }
}

/// A problem before it is known in which file.
#[derive(Debug)]
enum Problem {
    Yaml(serde_path_to_error::Error<serde_yaml::Error>),
    Value(&'static str, String),
}

impl Problem {
    fn at(self, path: &Path) -> ConfigError {
        match self {
            Self::Yaml(source) => ConfigError::Parse { path: path.into(), source },
            Self::Value(key, problem) => ConfigError::Value { path: path.into(), key, problem },
        }
    }
}

/// Replaces each `${NAME}` by the environment's value, so that replicas do not share an image directory.
fn expand(dir: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Problem> {
    let wrong = |problem: String| Problem::Value("imageDir", problem);
    let mut rest = dir.to_str().ok_or_else(|| wrong("is not UTF-8".to_owned()))?;
    let mut expanded = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| wrong(format!("{} has a ${{ without its }}", dir.display())))?;
        let value = variable(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            wrong(format!(
                "the environment variable {name} is not set; set it in the pod spec (downward API)"
            ))
        })?;
        // A value with a slash or a dot-dot would lead out of the directory that the author meant.
        if value.contains('/') || value == ".." {
            return Err(wrong(format!(
                "the environment variable {name} is {value:?}, which is no file name"
            )));
        }
        expanded += before;
        expanded += &value;
        rest = after;
    }
    Ok(PathBuf::from(expanded + rest))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("{text:?} is no duration such as 30s or 1m30s: {error}")))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn node_states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NodeState>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    words
        .iter()
        .map(|word| {
            word.parse().map_err(|_| {
                let known = NodeState::ALL.map(NodeState::as_str).join(", ");
                D::Error::custom(format!("{word:?} is no node state; there are {known}"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let pod = |name: &str| (name == "POD_NAME").then(|| "job-0".to_owned());
        Config::parse(text, pod).map_err(|problem| problem.at(Path::new("c.yaml")).to_string())
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse("# nothing yet").unwrap(), Config::default());
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(
            "{imageDir: /c, nodeStateServerURL: 'http://crik', additionalPaths: [/a], inotifyIncompatiblePaths: [/b],
              checkpointOn: [draining], onUnknown: terminate, decisionTimeout: 1s, gracePeriod: 2m, reserve: 10s,
              keepGenerations: 5, signingKeyFile: /k, maxRestores: 1, onRestoreFailure: fail,
              restoreTimeout: 1h, volumeTimeout: 9s, onClaimed: fail, claimTimeout: 1m, claimExpiry: 20s, interval: 10m,
              hooks: {preCheckpoint: {command: [sync], timeout: 1s, onFailure: fail}, postRestore: {command: [/r]}},
              exitCode: {checkpointed: 75}}",
        )
        .unwrap();
        assert_eq!(config.grace_period, Duration::from_secs(120));
        assert_eq!(config.checkpoint_on, [NodeState::Draining]);
        assert_eq!(config.exit_code.checkpointed, 75);
        let [before, after] = [config.hooks.pre_checkpoint.unwrap(), config.hooks.post_restore.unwrap()];
        assert_eq!((before.timeout, before.on_failure), (Duration::from_secs(1), OnFailure::Fail));
        assert_eq!((after.timeout, after.on_failure), (Duration::from_secs(5), OnFailure::Ignore));
        assert_eq!((config.on_claimed, config.interval), (OnClaimed::Fail, Some(Duration::from_secs(600))));
    }

    #[test]
    fn replicas_get_directories_of_their_own() {
        assert_eq!(parse("imageDir: /c/${POD_NAME}/x").unwrap().image_dir.unwrap(), Path::new("/c/job-0/x"));
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, message) in [
            ("imagedir: /c", "unknown field `imagedir`"),
            ("exitCode: {checkpoint: 1}", "unknown field `checkpoint`"),
            ("imageDir: [1]", "imageDir: invalid type: sequence"),
            ("keepGenerations: two", "keepGenerations: invalid type: string \"two\""),
            ("gracePeriod: 30", "gracePeriod: \"30\" is no duration"),
            ("decisionTimeout: soon", "\"soon\" is no duration such as 30s"),
            ("checkpointOn: [drained]", "\"drained\" is no node state; there are unknown, ready"),
            ("onUnknown: maybe", "unknown variant `maybe`"),
            ("imageDir: c", "imageDir: must be an absolute path"),
            ("imageDir: /c/${NODE}", "the environment variable NODE is not set"),
            ("imageDir: /c/${POD_NAME", "without its }"),
            ("additionalPaths: [a]", "every path must be absolute"),
            ("nodeStateServerURL: crik:9376", "must start with http://"),
            ("keepGenerations: 0", "must be at least 1"),
            ("maxRestores: 0", "must be at least 1"),
            ("signingKeyFile: key", "signingKeyFile: must be an absolute path"),
            ("{signingKeyFile: /k, verifyHashes: false}", "a signature vouches for hashes"),
            ("checkpointOn: [unknown]", "see onUnknown"),
            ("gracePeriod: 9999years", "must be at most a day"),
            ("claimExpiry: 1ms", "claimExpiry: must be at least 1s"),
            ("interval: 0s", "interval: must be at least 1s"),
            ("restoreTimeout: 0s", "must be longer than 0s"),
            ("hooks: {preCheckpoint: {command: []}}", "command must have at least the program"),
            ("hooks: {preCheckpoint: {}}", "missing field `command`"),
            ("hooks: {preCheckpoint: {command: [a], timeout: 23s}}", "or no checkpoint could follow"),
            ("onClaimed: later", "unknown variant `later`"),
            ("gracePeriod: 6s", "must be longer than reserve and decisionTimeout"),
            ("\t", "cannot start any token"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text}\n  said: {error}\n  not:  {message}");
            assert!(error.contains("c.yaml"), "{error}");
        }
    }

    #[test]
    fn a_variable_cannot_lead_out_of_the_volume() {
        let config = Config::parse("imageDir: /c/${X}", |_| Some("..".into()));
        assert!(matches!(config, Err(Problem::Value("imageDir", _))));
    }
}
