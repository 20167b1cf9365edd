//! What the file says. It imports `base` alone.
//!
//! `imageDir`, `nodeStateServerURL`, `additionalPaths` and `inotifyIncompatiblePaths` are the Go program's keys and
//! mean what they meant there. Every other key is optional.

mod access;
mod carry;
mod check;
mod checkpoint_on;
mod problem;
mod stop_signals;
mod values;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use crik_api::configuration;
use serde::Deserialize;

use crate::base::fault_points::hurried;
use crate::base::limits;

pub use access::{Access, parse_url};
pub use carry::Carry;
pub use checkpoint_on::CheckpointOn;
use crik_store::encryption::key_file::KeyFileError;
use crik_store::encryption::keys::EncryptionKeys;
use crik_store::generation::signature::{KeyError, Keys};
use crik_store::image_dir::buckets;
pub use problem::ConfigError;
use problem::Problem;
pub use stop_signals::StopSignals;
use values::{duration, expand, is_a_file_name, size, some_duration};
pub use words::{
    ActOn, ChangedFiles, ChangedPod, ExitCode, Format, Hook, Hooks, LoopbackConnections, OnClaimed,
    OnClockBack, OnFailure, OnRestoreFailure, OnUnknown, OnVolumeUnavailable, UnixConnections, WarmUp,
};

/// What `crik run` is told by its file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The image directory. Without one nothing is ever checkpointed.
    pub image_dir: Option<PathBuf>,
    /// The controller's address. Without one every SIGTERM means a checkpoint.
    #[serde(rename = "nodeStateServerURL")]
    pub node_state_server_url: Option<String>,
    /// The file with the token that the controller is shown. Without one it is shown none.
    pub node_state_server_token_file: Option<PathBuf>,
    /// The file with the authorities that vouch for the controller. Without one they are the container's own.
    #[serde(rename = "nodeStateServerCAFile")]
    pub node_state_server_ca_file: Option<PathBuf>,
    /// What begins a checkpoint.
    pub act_on: ActOn,
    /// The signals by which the container's runtime may ask for a stop.
    pub stop_signals: StopSignals,
    /// Files and directories outside the container's image that the tree has open and the next pod will lack.
    pub additional_paths: Vec<PathBuf>,
    /// How a checkpoint is kept, as somebody wishes it; see [`Self::format`].
    pub format: Option<Format>,
    /// When what the program has in memory is stored before there is a checkpoint.
    pub warm_up: WarmUp,
    /// How many bytes of it are read in a second.
    #[serde(deserialize_with = "size")]
    pub warm_up_rate: u64,
    /// What of the container's files goes along by itself.
    pub carry: Carry,
    /// Paths removed before a checkpoint, for a program that cannot bear the inotify watches on them in the next container.
    pub inotify_incompatible_paths: Vec<PathBuf>,
    /// The states of the node and of the pod that mean a checkpoint.
    pub checkpoint_on: CheckpointOn,
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
    /// Files with keys that are accepted besides, such as the one before a rotation.
    pub accepted_key_files: Vec<PathBuf>,
    /// The file with the keys that checkpoints are encrypted with. Without one they are not.
    pub encryption_key_file: Option<PathBuf>,
    /// How often one generation may be resumed.
    pub max_restores: u32,
    /// What to do when there are generations and none can be resumed.
    pub on_restore_failure: OnRestoreFailure,
    /// Whether the program is preloaded with the library that keeps its clocks going.
    pub clock_library: bool,
    /// Whether Go programs may listen by MPTCP, which cannot be frozen.
    pub multipath_tcp: bool,
    /// What becomes of connections over UNIX sockets to other containers.
    pub unix_connections: UnixConnections,
    /// What becomes of connections over loopback within the program.
    pub loopback_connections: LoopbackConnections,
    /// Whether programs that are preloaded with the library may make rings of io_uring, which cannot be frozen.
    pub io_uring: bool,
    /// Whether the program gets an IPC namespace of its own where one can be made.
    pub own_ipc_namespace: bool,
    /// What to do with a generation of which processes would stand still here.
    pub on_clock_back: OnClockBack,
    /// What becomes of a file that the program had open to read and that was changed since.
    pub changed_files: ChangedFiles,
    /// What becomes of a program whose pod gives it something else now.
    pub changed_pod: ChangedPod,
    /// The program's release: a checkpoint of another one is not resumed.
    pub release: Option<String>,
    /// How long nothing of a restore may move.
    #[serde(deserialize_with = "duration")]
    pub restore_timeout: Duration,
    /// How long the volume may be silent or in trouble at a start.
    #[serde(deserialize_with = "duration")]
    pub volume_timeout: Duration,
    /// What to do when it is so for longer.
    pub on_volume_unavailable: OnVolumeUnavailable,
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
    /// How long the application may stand still for a checkpoint after which it goes on.
    #[serde(deserialize_with = "duration")]
    pub max_pause: Duration,
    /// Commands to run beside a checkpoint and a restore.
    pub hooks: Hooks,
    /// Exit codes that can be chosen.
    pub exit_code: ExitCode,
    /// Where the file should have been, if there is none.
    #[serde(skip)]
    pub missing: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            image_dir: None,
            node_state_server_url: None,
            node_state_server_token_file: None,
            node_state_server_ca_file: None,
            act_on: ActOn::Sigterm,
            stop_signals: StopSignals::default(),
            additional_paths: Vec::new(),
            format: None,
            warm_up: WarmUp::Notice,
            warm_up_rate: limits::WARM_UP_RATE,
            carry: Carry::default(),
            inotify_incompatible_paths: Vec::new(),
            checkpoint_on: CheckpointOn::default(),
            on_unknown: OnUnknown::Checkpoint,
            decision_timeout: Duration::from_secs(2),
            grace_period: Duration::from_secs(30),
            reserve: Duration::from_secs(5),
            keep_generations: 2,
            verify_hashes: true,
            signing_key_file: None,
            accepted_key_files: Vec::new(),
            encryption_key_file: None,
            max_restores: 3,
            on_restore_failure: OnRestoreFailure::Fresh,
            clock_library: true,
            multipath_tcp: false,
            unix_connections: UnixConnections::Close,
            loopback_connections: LoopbackConnections::Close,
            io_uring: false,
            own_ipc_namespace: true,
            on_clock_back: OnClockBack::Auto,
            changed_files: ChangedFiles::Follow,
            changed_pod: ChangedPod::Tell,
            release: None,
            restore_timeout: Duration::from_secs(600),
            volume_timeout: Duration::from_secs(30),
            on_volume_unavailable: OnVolumeUnavailable::Wait,
            on_claimed: OnClaimed::Wait,
            claim_timeout: Duration::from_secs(300),
            claim_expiry: Duration::from_secs(60),
            interval: None,
            max_pause: limits::MAX_PAUSE,
            hooks: Hooks::default(),
            exit_code: ExitCode::default(),
            missing: None,
        }
    }
}

impl Config {
    /// How long a start waits for its volume.
    pub fn volume_patience(&self) -> Duration {
        match self.on_volume_unavailable {
            OnVolumeUnavailable::Wait => hurried(limits::VOLUME_PATIENCE).max(self.volume_timeout),
            OnVolumeUnavailable::Fail | OnVolumeUnavailable::Fresh => self.volume_timeout,
        }
    }

    /// The keys that generations are signed with and checked by, if it names one that signs.
    ///
    /// # Errors
    /// One cannot be read, or is too short.
    pub fn keys(&self) -> Result<Option<Keys>, KeyError> {
        let own = self.signing_key_file.as_deref();
        own.map(|own| Keys::read(own, &self.accepted_key_files)).transpose()
    }

    /// The keys that checkpoints are encrypted with, if it names a file of them.
    ///
    /// # Errors
    /// It cannot be read, or one of its lines is no key.
    pub fn encryption_keys(&self) -> Result<Option<EncryptionKeys>, KeyFileError> {
        self.encryption_key_file.as_deref().map(EncryptionKeys::read).transpose()
    }

    /// The image directory, if it is on a volume and not in a bucket.
    pub fn volume(&self) -> Option<&Path> {
        self.image_dir.as_deref().filter(|dir| !buckets::is_address(dir))
    }

    /// How a checkpoint is kept: in chunks wherever it is encrypted, since what CRIU writes by itself is not, and in a bucket, which has no
    /// other way.
    pub fn format(&self) -> Format {
        let is_in_a_bucket = self.image_dir.is_some() && self.volume().is_none();
        if self.encryption_key_file.is_some() || is_in_a_bucket {
            Format::Chunks
        } else {
            self.format.unwrap_or(Format::Auto)
        }
    }

    /// How to reach the controller, if there is one.
    pub fn access(&self) -> Option<Access> {
        Some(Access {
            url: self.node_state_server_url.clone()?,
            token_file: self.node_state_server_token_file.clone(),
            ca_file: self.node_state_server_ca_file.clone(),
        })
    }

    /// Reads what stands in the variable [`configuration::VARIABLE`], unless it is empty or another file is named than that of all; or
    /// else the file at `path`; when there is none, the defaults hold.
    ///
    /// # Errors
    /// Everything about the file that a person has to correct, named by key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let variable = env::var(configuration::VARIABLE).ok().filter(|text| !text.is_empty());
        if let Some(text) = variable.filter(|_| path == Path::new(limits::CONFIG_PATH)) {
            let name = PathBuf::from(format!("${}", configuration::VARIABLE));
            return Self::parse(&text, |name| env::var(name).ok()).map_err(|problem| problem.at(&name));
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { missing: Some(path.into()), ..Self::default() });
            }
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
            let dir = dir.to_str().ok_or_else(|| Problem::Value("imageDir", "is not UTF-8".to_owned()))?;
            config.image_dir = Some(expand("imageDir", dir, &variable, is_a_file_name)?.into());
        }
        if let Some(release) = &config.release {
            config.release = Some(expand("release", release, &variable, |_| true)?);
        }
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use crik_api::NodeState;

    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let pod = |name: &str| (name == "POD_NAME").then(|| "job-0".to_owned());
        Config::parse(text, pod).map_err(|problem| problem.at(Path::new("c.yaml")).to_string())
    }

    #[test]
    fn what_is_encrypted_is_in_chunks_whatever_the_volume_is_fast_enough_for() {
        let format = |yaml: &str| parse(yaml).unwrap().format();
        assert_eq!(format("encryptionKeyFile: /e"), Format::Chunks);
        assert_eq!(format("{encryptionKeyFile: /e, format: auto}"), Format::Chunks);
        assert_eq!(format("{}"), Format::Auto);
        assert_eq!(format("format: plain"), Format::Plain);
    }

    /// The keys that the parser knows, in a map if one is named.
    fn keys(map: &str, yaml: &str) -> Vec<String> {
        let error = parse(yaml).unwrap_err();
        let (_, known) = error.split_once("expected").unwrap();
        known.split('`').skip(1).step_by(2).map(|key| format!("{map}{key}")).collect()
    }

    #[test]
    fn the_keys_that_annotations_may_set_are_those_that_there_are() {
        let maps = ["carry", "hooks", "exitCode"];
        let mut there = keys("", "none: 1");
        there.retain(|key| !maps.contains(&key.as_str()));
        for map in maps {
            there.extend(keys(&format!("{map}."), &format!("{map}: {{none: 1}}")));
        }
        let mut named: Vec<&str> = configuration::KEYS.iter().map(|(key, _)| *key).collect();
        there.sort();
        named.sort_unstable();
        assert_eq!(there, named);
        assert_eq!(configuration::VARIABLE, limits::CONFIG_VARIABLE);
    }

    /// The configuration of one key, which may stand in a map.
    fn of_one(key: &str, value: &str) -> Result<Config, String> {
        match key.split_once('.') {
            Some((map, key)) => parse(&format!("{map}: {{{key}: {value}}}")),
            None => parse(&format!("{key}: {value}")),
        }
    }

    #[test]
    fn what_an_annotation_says_of_a_key_is_text_where_the_key_wants_text() {
        for (key, form) in configuration::KEYS {
            let refused =
                of_one(key, "word").err().is_some_and(|error| error.contains("invalid type: string"));
            assert_eq!(refused, !form.is_text(), "{key}: {:?}", of_one(key, "word").err());
        }
    }

    #[test]
    fn each_key_takes_the_form_that_whoever_looks_before_the_agent_holds_it_to() {
        use configuration::Form;
        for (key, form) in configuration::KEYS {
            let (right, wrong): (&[&str], &str) = match form {
                // What is text may still be no address, path or name.
                Form::Text => (&[], "{}"),
                Form::Duration => (&["20s"], "soon"),
                Form::Size => (&["50MB", "50000000"], "much"),
                Form::Word(words) => (words, "nonsense"),
                Form::Number => (&["3"], "-1"),
                Form::Flag => (&["true", "false"], "perhaps"),
                Form::List => (&["[]"], "word"),
                Form::Map => (&["{command: [sync], timeout: 1s}"], "word"),
            };
            for value in right {
                // What goes together with other keys, as `actOn: notice` does, is no question of form.
                let refused = of_one(key, value).err().filter(|why| !why.contains("must not be"));
                assert_eq!(refused, None, "{key}: {value}");
            }
            assert!(of_one(key, wrong).is_err(), "{key}: {wrong}");
        }
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse("# nothing yet").unwrap(), Config::default());
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(
            "{imageDir: /c, nodeStateServerURL: 'https://crik', nodeStateServerTokenFile: /t,
              nodeStateServerCAFile: /ca, actOn: notice, stopSignals: [SIGHUP], additionalPaths: [/a], inotifyIncompatiblePaths: [/b],
              carry: {layer: false, memory: true, emptyDirs: true, exclude: ['/x/**'], maxBytes: 1Gi},
              checkpointOn: [draining, disrupted], onUnknown: terminate, decisionTimeout: 1s, gracePeriod: 2m, reserve: 10s,
              keepGenerations: 5, signingKeyFile: /k, acceptedKeyFiles: [/old], encryptionKeyFile: /e, format: chunks, warmUp: off, warmUpRate: 50MB, maxRestores: 1, onRestoreFailure: fail, clockLibrary: false, ioUring: true, ownIpcNamespace: false, unixConnections: refuse, loopbackConnections: keep, onClockBack: refuse,
              changedFiles: refuse, changedPod: fresh, release: 'app:${POD_NAME}', restoreTimeout: 1h, volumeTimeout: 9s, onVolumeUnavailable: fail, onClaimed: fail, claimTimeout: 1m, claimExpiry: 20s, interval: 10m,
              maxPause: 20s, hooks: {preCheckpoint: {command: [sync], timeout: 1s, onFailure: fail}, postRestore: {command: [/r]},
              postCheckpoint: {command: [/p]}},
              exitCode: {checkpointed: 75}}",
        )
        .unwrap();
        assert_eq!(config.grace_period, Duration::from_secs(120));
        assert_eq!(config.checkpoint_on, CheckpointOn { nodes: vec![NodeState::Draining], disrupted: true });
        assert_eq!(config.exit_code.checkpointed, 75);
        assert_eq!((config.warm_up, config.warm_up_rate), (WarmUp::Off, 50_000_000));
        assert!(!config.carry.layer && config.carry.memory && config.carry.max_bytes == 1 << 30);
        assert_eq!((config.changed_pod, config.release.as_deref()), (ChangedPod::Fresh, Some("app:job-0")));
        assert_eq!(config.on_volume_unavailable, OnVolumeUnavailable::Fail);
        assert_eq!(config.volume_patience(), Duration::from_secs(9));
        let access = config.access().unwrap();
        assert_eq!((access.token_file.unwrap(), access.ca_file.unwrap()), ("/t".into(), "/ca".into()));
        assert_eq!(config.act_on, ActOn::Notice);
        assert_eq!(config.stop_signals.0, [libc::SIGHUP, libc::SIGTERM].into());
        assert_eq!(config.max_pause, Duration::from_secs(20));
        assert_eq!(config.hooks.post_checkpoint.unwrap().command, ["/p"]);
        let [before, after] = [config.hooks.pre_checkpoint.unwrap(), config.hooks.post_restore.unwrap()];
        assert_eq!((before.timeout, before.on_failure), (Duration::from_secs(1), OnFailure::Fail));
        assert_eq!((after.timeout, after.on_failure), (Duration::from_secs(5), OnFailure::Ignore));
        assert_eq!((config.clock_library, config.on_clock_back), (false, OnClockBack::Refuse));
        assert!(config.io_uring && !config.own_ipc_namespace);
        assert_eq!(config.unix_connections, UnixConnections::Refuse);
        assert_eq!(config.loopback_connections, LoopbackConnections::Keep);
        assert_eq!(config.changed_files, ChangedFiles::Refuse);
        assert_eq!(config.accepted_key_files, [Path::new("/old")]);
        assert_eq!(config.encryption_key_file.as_deref(), Some(Path::new("/e")));
        assert_eq!(config.format, Some(Format::Chunks));
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
            ("release: ${IMAGE_TAG}", "release: the environment variable IMAGE_TAG is not set"),
            ("release: ''", "release: must not be empty"),
            ("changedPod: never", "unknown variant `never`"),
            ("additionalPaths: [a]", "every path must be absolute"),
            ("additionalPaths: [/a/../b]", "no path may be / or have .. in it"),
            ("additionalPaths: [/]", "no path may be / or have .. in it"),
            ("{imageDir: /c/x, additionalPaths: [/c]}", "must not hold imageDir"),
            ("carry: {layers: true}", "unknown field `layers`"),
            ("carry: {exclude: [tmp]}", "carry.exclude: \"tmp\" must begin with /"),
            ("carry: {maxBytes: big}", "carry.maxBytes: \"big\" is no size"),
            ("nodeStateServerURL: crik:9376", "must start with http://"),
            ("nodeStateServerURL: http://me:secret@crik", "must not have a user's name"),
            (
                "nodeStateServerTokenFile: /t",
                "nodeStateServerTokenFile: must not be set without nodeStateServerURL",
            ),
            ("{nodeStateServerURL: 'http://c', nodeStateServerTokenFile: t}", "must be an absolute path"),
            (
                "{nodeStateServerURL: 'http://c', nodeStateServerTokenFile: \
                 /var/run/secrets/kubernetes.io/serviceaccount/token}",
                "is for the API server",
            ),
            ("{nodeStateServerURL: 'http://c', nodeStateServerCAFile: /ca}", "only with https://"),
            ("{nodeStateServerURL: 'https://c', nodeStateServerCAFile: ca}", "must be an absolute path"),
            ("actOn: notice", "actOn: must not be notice without nodeStateServerURL"),
            ("{actOn: notice, nodeStateServerURL: 'http://c'}", "without imageDir"),
            (
                "{actOn: notice, nodeStateServerURL: 'http://c', imageDir: /c, checkpointOn: [cordoned]}",
                "checkpointOn must have draining, shutting-down or gone",
            ),
            ("actOn: [notice]", "actOn: "),
            ("actOn: now", "unknown variant `now`"),
            ("stopSignals: [SIGQUITT]", "stopSignals: \"SIGQUITT\" is no signal such as SIGQUIT"),
            ("stopSignals: [SIGKILL]", "SIGKILL asks nobody for a stop"),
            ("keepGenerations: 0", "must be at least 1"),
            ("maxRestores: 0", "must be at least 1"),
            ("signingKeyFile: key", "signingKeyFile: must be an absolute path"),
            ("acceptedKeyFiles: [/old]", "acceptedKeyFiles: must not be set without signingKeyFile"),
            (
                "{signingKeyFile: /k, acceptedKeyFiles: [old]}",
                "acceptedKeyFiles: every path must be absolute",
            ),
            ("encryptionKeyFile: keys", "encryptionKeyFile: must be an absolute path"),
            ("{encryptionKeyFile: /e, format: plain}", "format: must not be plain with encryptionKeyFile"),
            ("format: small", "format: unknown variant `small`"),
            ("{imageDir: /c/x, encryptionKeyFile: /c/x/keys}", "encryptionKeyFile: must not lie in imageDir"),
            ("{imageDir: /c/x, additionalPaths: [/c/x/y]}", "must not lie in imageDir"),
            ("{imageDir: /c/./x, additionalPaths: [/c//x]}", "must not hold imageDir"),
            ("imageDir: /c/../x", "imageDir: must not be / nor have .. in it"),
            ("imageDir: /", "imageDir: must not be / nor have .. in it"),
            ("{signingKeyFile: /k, verifyHashes: false}", "a signature vouches for hashes"),
            ("checkpointOn: [unknown]", "see onUnknown"),
            ("gracePeriod: 9999years", "must be at most a day"),
            ("claimExpiry: 1ms", "claimExpiry: must be at least 1s"),
            ("interval: 0s", "interval: must be at least 1s"),
            ("restoreTimeout: 0s", "must be longer than 0s"),
            ("warmUpRate: 10kB", "warmUpRate: must be at least 1MB; set warmUp: off for none"),
            ("maxPause: 0s", "maxPause: must be longer than 0s"),
            ("hooks: {postCheckpoint: {command: []}}", "command must have at least the program"),
            ("hooks: {postCheckpoint: {command: [a], onFailure: fail}}", "nothing is left that could fail"),
            ("hooks: {preCheckpoint: {command: []}}", "command must have at least the program"),
            ("exitCode: {checkpointed: 0}", "a Job counts a pod as done whose work is only frozen"),
            ("hooks: {preCheckpoint: {}}", "missing field `command`"),
            ("hooks: {preCheckpoint: {command: [a], timeout: 23s}}", "or no checkpoint could follow"),
            ("onClockBack: wait", "unknown variant `wait`"),
            ("changedFiles: perhaps", "unknown variant `perhaps`"),
            ("onClaimed: later", "unknown variant `later`"),
            ("onVolumeUnavailable: hope", "unknown variant `hope`"),
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
