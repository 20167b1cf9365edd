//! What the controller adds to a pod that is put under crik, as far as the agent has to know it, and the keys of the agent's configuration,
//! by which a pod's annotations are read.

/// How the value of a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text, also if it looks like a number: `1.10`.
    Text,
    /// A text such as `1m30s`.
    Duration,
    /// A text such as `4GiB`, or a number of bytes.
    Size,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list.
    List,
    /// A map.
    Map,
}

impl Form {
    /// Whether it is written as it is where there is only text, as in an annotation. Everything else is YAML there.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Duration | Self::Size | Self::Word(_))
    }
}

use Form::{Duration, Flag, List, Map, Number, Size, Text, Word};

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
    ("actOn", Word(&["sigterm", "notice"])),
    ("stopSignals", List),
    ("additionalPaths", List),
    ("format", Word(&["auto", "chunks", "plain"])),
    ("warmUp", Word(&["notice", "off"])),
    ("warmUpRate", Size),
    ("carry.layer", Flag),
    ("carry.memory", Flag),
    ("carry.emptyDirs", Flag),
    ("carry.exclude", List),
    ("carry.maxBytes", Size),
    ("inotifyIncompatiblePaths", List),
    ("checkpointOn", List),
    ("onUnknown", Word(&["checkpoint", "terminate"])),
    ("decisionTimeout", Duration),
    ("gracePeriod", Duration),
    ("reserve", Duration),
    ("keepGenerations", Number),
    ("verifyHashes", Flag),
    ("signingKeyFile", Text),
    ("acceptedKeyFiles", List),
    ("encryptionKeyFile", Text),
    ("maxRestores", Number),
    ("onRestoreFailure", Word(&["fresh", "fail"])),
    ("clockLibrary", Flag),
    ("multipathTcp", Flag),
    ("unixConnections", Word(&["close", "refuse"])),
    ("loopbackConnections", Word(&["keep", "close"])),
    ("ioUring", Flag),
    ("ownIpcNamespace", Flag),
    ("onClockBack", Word(&["auto", "resume", "refuse"])),
    ("changedFiles", Word(&["follow", "refuse"])),
    ("changedPod", Word(&["tell", "fresh"])),
    ("release", Text),
    ("restoreTimeout", Duration),
    ("volumeTimeout", Duration),
    ("onVolumeUnavailable", Word(&["wait", "fail", "fresh"])),
    ("onClaimed", Word(&["wait", "fresh", "fail"])),
    ("claimTimeout", Duration),
    ("claimExpiry", Duration),
    ("interval", Duration),
    ("maxPause", Duration),
    ("hooks.preCheckpoint", Map),
    ("hooks.postCheckpoint", Map),
    ("hooks.postRestore", Map),
    ("exitCode.checkpointed", Number),
];
