//! What the controller adds to a pod that is put under crik, as far as the agent has to know it, and the keys of the agent's configuration,
//! by which a pod's annotations are read.

/// How the value of a key is written where there is only text, as in an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The text itself, also if it looks like a number: `1.10`.
    Text,
    /// YAML: a number, `true`, a list or a map.
    Yaml,
}

use Form::{Text, Yaml};

/// The variable in which a container has its configuration itself, in place of a file.
pub const VARIABLE: &str = "CRIK_CONFIG";

/// The init container that brings crik to a container whose image has none, into an emptyDir of the pod's.
pub const INSTALL: &str = "crik-install";

/// Every key, with a dot before what stands in a map, in the order of the agent's own.
pub const KEYS: [(&str, Form); 50] = [
    ("imageDir", Text),
    ("nodeStateServerURL", Text),
    ("nodeStateServerTokenFile", Text),
    ("nodeStateServerCAFile", Text),
    ("actOn", Text),
    ("stopSignals", Yaml),
    ("additionalPaths", Yaml),
    ("format", Text),
    ("warmUp", Text),
    ("warmUpRate", Text),
    ("carry.layer", Yaml),
    ("carry.memory", Yaml),
    ("carry.emptyDirs", Yaml),
    ("carry.exclude", Yaml),
    ("carry.maxBytes", Text),
    ("inotifyIncompatiblePaths", Yaml),
    ("checkpointOn", Yaml),
    ("onUnknown", Text),
    ("decisionTimeout", Text),
    ("gracePeriod", Text),
    ("reserve", Text),
    ("keepGenerations", Yaml),
    ("verifyHashes", Yaml),
    ("signingKeyFile", Text),
    ("acceptedKeyFiles", Yaml),
    ("encryptionKeyFile", Text),
    ("maxRestores", Yaml),
    ("onRestoreFailure", Text),
    ("clockLibrary", Yaml),
    ("multipathTcp", Yaml),
    ("unixConnections", Text),
    ("loopbackConnections", Text),
    ("ioUring", Yaml),
    ("ownIpcNamespace", Yaml),
    ("onClockBack", Text),
    ("changedFiles", Text),
    ("changedPod", Text),
    ("release", Text),
    ("restoreTimeout", Text),
    ("volumeTimeout", Text),
    ("onVolumeUnavailable", Text),
    ("onClaimed", Text),
    ("claimTimeout", Text),
    ("claimExpiry", Text),
    ("interval", Text),
    ("maxPause", Text),
    ("hooks.preCheckpoint", Yaml),
    ("hooks.postCheckpoint", Yaml),
    ("hooks.postRestore", Yaml),
    ("exitCode.checkpointed", Yaml),
];
