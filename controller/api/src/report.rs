//! What an agent tells the controller of its program, and what of it stands on the Pod afterwards.
//!
//! The agent sends `POST /v1/pods/{namespace}/{name}/reports` with the token of its own pod. What is known of a pod stands on the pod itself,
//! in the annotations that are named here: every replica of the controller sees the same, and so does whoever may read the pod.

use serde::{Deserialize, Serialize};

/// Annotation: the newest checkpoint, a [`LastCheckpoint`] as JSON.
pub const LAST_CHECKPOINT: &str = "crik.dev/last-checkpoint";

/// Annotation: how the program started in this pod, a [`LastStart`] as JSON.
pub const LAST_START: &str = "crik.dev/last-start";

/// Annotation: whether the program could go on elsewhere, a [`ToldProtection`] as JSON. Its agent can be heard if it is there.
pub const PROTECTION: &str = "crik.dev/protection";

/// Annotation: how far the move is that an eviction has asked for, a [`Move`] as JSON.
pub const MOVE: &str = "crik.dev/move";

/// Annotation: the [`ReportId`] of the last report that all of this is from.
pub const LAST_REPORT: &str = "crik.dev/last-report";

/// Annotation: why there is no newer checkpoint, a [`LastFailure`] as JSON. Not there after one that was taken.
pub const LAST_FAILURE: &str = "crik.dev/last-failure";

/// Annotations that are the controller's own.
pub const OWN_ANNOTATIONS: [&str; 6] =
    [LAST_CHECKPOINT, LAST_START, PROTECTION, MOVE, LAST_REPORT, LAST_FAILURE];

/// Annotation of a pod: how long evictions of it may be held up, such as `10m`.
pub const EVICTION_DEADLINE: &str = "crik.dev/eviction-deadline";

/// Condition of a pod that names it as a readiness gate: its program has been started or resumed.
pub const RESTORED: &str = "crik.dev/Restored";

/// The header of a question about a node in which an agent says which pod it is of: `NAMESPACE/NAME`.
pub const POD_HEADER: &str = "crik-pod";

/// The header of an answer in which an agent is told that its pod is to be moved ([`Move::asked`]), and of later questions in which
/// it says that it has heard of that.
pub const MOVE_HEADER: &str = "crik-move";

/// Tells a report from all others of its pod. Later ones of a container are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReportId {
    /// When the agent began, in milliseconds since 1970: a container that was restarted begins anew.
    pub began: u64,
    /// The first report of an agent is 1.
    pub number: u64,
}

/// Something that happened to a program under crik.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which report it is.
    pub id: ReportId,
    /// How long ago it happened, in seconds.
    #[serde(default)]
    pub seconds_ago: f64,
    /// The node that the pod runs on.
    #[serde(default)]
    pub node: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum What {
    /// It was found out whether the program could go on elsewhere; told first of all, and when it changes.
    Examined(ToldProtection),
    /// The program goes on from a checkpoint.
    Resumed(Resumed),
    /// The program has begun from its beginning.
    StartedFresh {
        /// Why no checkpoint was resumed, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The checkpoint has begun that a move needs.
    MoveBegun {
        /// [`Move::asked`] as it was told.
        asked: String,
    },
    /// A checkpoint is durable.
    Checkpointed(Checkpointed),
    /// There is no checkpoint, although there should be one.
    NotCheckpointed {
        /// What it was for.
        occasion: Occasion,
        /// Why not, and what helps.
        why: String,
    },
    /// The program was told to stop without a checkpoint, since that was what was wanted.
    ToldToStop {
        /// Why.
        why: String,
    },
    /// Nobody has ended the pod after the checkpoint for its move, and the program goes on here.
    Stayed,
    /// A word of a later release.
    #[serde(other)]
    Unknown,
}

/// Whether the program could go on elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldProtection {
    /// Whether it could.
    pub protected: bool,
    /// What stands in the way, with the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A program that goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    /// From this generation.
    pub generation: u64,
    /// From the agent's start until the program went on.
    pub seconds: f64,
    /// For how long the program had run since its last start before that checkpoint: work that is not done again.
    #[serde(default)]
    pub saved_seconds: f64,
    /// The node that the checkpoint was taken on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Newer checkpoints that were passed over, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// A checkpoint that could not be resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// Which.
    pub generation: u64,
    /// Why.
    pub why: String,
}

/// What a checkpoint is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// The pod's end.
    Stop,
    /// An eviction that waits for it.
    Move,
    /// A notice that the node goes away.
    Notice,
    /// Its time has come (`interval`).
    Interval,
    /// Somebody has asked for it (`crik checkpoint`).
    Asked,
    /// One that a later release knows.
    #[serde(other)]
    Other,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Stop, Self::Move, Self::Notice, Self::Interval, Self::Asked, Self::Other];

    /// The word on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Move => "move",
            Self::Notice => "notice",
            Self::Interval => "interval",
            Self::Asked => "asked",
            Self::Other => "other",
        }
    }
}

/// A checkpoint that is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpointed {
    /// Its number.
    pub generation: u64,
    /// What it was taken for.
    pub occasion: Occasion,
    /// For how long the program stood still, as far as it goes on or until it was durable.
    pub frozen_seconds: f64,
    /// From the beginning until it was durable.
    pub durable_seconds: f64,
    /// Bytes that it has.
    pub bytes: u64,
    /// Bytes that are kept for it; fewer where they are compressed or equal.
    pub stored_bytes: u64,
    /// Bytes of these that were not there before.
    pub new_bytes: u64,
}

/// What stands on the pod of its newest checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastCheckpoint {
    /// When it was durable (RFC 3339).
    pub at: String,
    /// What it is.
    #[serde(flatten)]
    pub checkpoint: Checkpointed,
}

/// What stands on the pod of the last checkpoint that failed, until one is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastFailure {
    /// When it failed (RFC 3339).
    pub at: String,
    /// What it was for.
    pub occasion: Occasion,
    /// Why it failed, and what helps.
    pub why: String,
}

/// What stands on the pod of its program's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastStart {
    /// When it was (RFC 3339).
    pub at: String,
    /// What was resumed; none after a fresh start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
    /// Why nothing was resumed, although there was something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_fresh: Option<String>,
}

/// A move that an eviction has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// When the first eviction came (RFC 3339, with milliseconds). Tells one move from another.
    pub asked: String,
    /// How far it is.
    pub step: Step,
    /// When that was so (RFC 3339).
    pub at: String,
    /// Why there is no checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Others come first.
    Waiting,
    /// The agent is to take a checkpoint.
    Asked,
    /// It takes one.
    Begun,
    /// The checkpoint is durable, and the program stands still until the pod is ended.
    Durable,
    /// There is none, and the program goes on.
    Failed,
    /// Nobody has ended the pod, and the program goes on.
    Stayed,
    /// One that a later release knows.
    #[serde(other)]
    Other,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Asked, Self::Begun, Self::Durable, Self::Failed, Self::Stayed, Self::Other];

    /// The word on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Asked => "asked",
            Self::Begun => "begun",
            Self::Durable => "durable",
            Self::Failed => "failed",
            Self::Stayed => "stayed",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_flat_object() {
        let report: Report = serde_json::from_str(
            r#"{"id":{"began":1,"number":2},"secondsAgo":0.5,"node":"a","what":"checkpointed","generation":7,"occasion":"move",
                "frozenSeconds":0.2,"durableSeconds":1.5,"bytes":10,"storedBytes":4,"newBytes":2}"#,
        )
        .unwrap();
        let What::Checkpointed(Checkpointed { generation: 7, occasion: Occasion::Move, .. }) = report.what
        else {
            panic!("{report:?}")
        };
        let written = serde_json::to_value(&report).unwrap();
        assert_eq!((&written["what"], &written["newBytes"]), (&"checkpointed".into(), &2.into()));
        assert_eq!(serde_json::from_value::<Report>(written).unwrap(), report);
    }

    #[test]
    fn each_kind_of_report_travels() {
        for what in [
            What::Examined(ToldProtection { protected: false, why: Some("no volume".to_owned()) }),
            What::StartedFresh { why: None },
            What::MoveBegun { asked: "t".to_owned() },
            What::NotCheckpointed { occasion: Occasion::Stop, why: "full".to_owned() },
            What::ToldToStop { why: "deleted".to_owned() },
            What::Stayed,
        ] {
            let report =
                Report { id: ReportId { began: 1, number: 1 }, seconds_ago: 0.0, node: String::new(), what };
            let written = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<Report>(&written).unwrap(), report, "{written}");
        }
    }

    #[test]
    fn words_of_a_later_release_are_no_errors() {
        let later = r#"{"id":{"began":1,"number":2},"what":"hibernated","depth":3}"#;
        assert_eq!(serde_json::from_str::<Report>(later).unwrap().what, What::Unknown);
        assert_eq!(serde_json::from_str::<Step>("\"parked\"").unwrap(), Step::Other);
        for occasion in Occasion::ALL {
            assert_eq!(serde_json::to_value(occasion).unwrap(), occasion.as_str());
        }
        for step in Step::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
    }
}
