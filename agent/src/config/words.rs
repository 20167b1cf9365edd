//! The values that have names.

use std::time::Duration;

use serde::Deserialize;

use super::values::duration;
use crate::base::exit_codes;

/// What an undetermined node state means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// A checkpoint that nobody needs is cheap; one that is missing is not.
    Checkpoint,
    /// The application is told to stop.
    Terminate,
}

/// What begins a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActOn {
    /// A SIGTERM.
    Sigterm,
    /// The node's state too, for clouds that let a pod run until its node is gone.
    Notice,
}

/// When what a program has in memory is stored before there is a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WarmUp {
    /// At the first sign that the node may go away.
    Notice,
    /// Never.
    Off,
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

/// What a start does whose volume cannot be read, so that nobody knows what there is to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnVolumeUnavailable {
    /// It waits for the volume.
    Wait,
    /// The agent exits after `volumeTimeout`, for the kubelet to try again.
    Fail,
    /// The application starts from its beginning after `volumeTimeout`, and its checkpoints stand apart from those that there are.
    Fresh,
}

/// What becomes of a generation with processes that would stand still here, since the clock goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnClockBack {
    /// It is resumed if that costs less than to begin anew.
    Auto,
    /// It is resumed.
    Resume,
    /// It is not.
    Refuse,
}

impl std::fmt::Display for OnClockBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Resume => "resume",
            Self::Refuse => "refuse",
        })
    }
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

/// How a checkpoint is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// In whatever way is sooner durable on the volume.
    Auto,
    /// In chunks, each of which is kept once, made smaller where that is sooner done.
    Chunks,
    /// As CRIU writes it.
    Plain,
}

/// What becomes of a file that the program had open to read and that has other contents at the restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangedFiles {
    /// The program goes on with the new contents, if what it has read so far is still the same.
    Follow,
    /// The checkpoint is not resumed.
    Refuse,
}

/// What becomes of a connection over a UNIX socket to another container when the program is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnixConnections {
    /// The resumed program finds it closed, as TCP connections are.
    Close,
    /// There is no checkpoint.
    Refuse,
}

/// What becomes of TCP connections over loopback both of whose ends the program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoopbackConnections {
    /// They go on, where NET_ADMIN counts.
    Keep,
    /// They are closed, as all others are.
    Close,
}

/// What becomes of a program whose pod gives it something else now: another environment, or another script of a ConfigMap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangedPod {
    /// It goes on with what it had, and the log tells what differs.
    Tell,
    /// Its checkpoints are not resumed.
    Fresh,
}

/// Commands to run beside a checkpoint and a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hooks {
    /// Before the tree is frozen.
    pub pre_checkpoint: Option<Hook>,
    /// After a checkpoint, or the attempt at one, when the application goes on.
    pub post_checkpoint: Option<Hook>,
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
        Self { checkpointed: exit_codes::CHECKPOINTED as u8 }
    }
}
