//! The annotations of a pod that are looked at. Others may write them too: one that cannot be read counts as not there.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::limits;
use crate::base::shortened::shortened_to;

/// Them, as text. The names are those of [`crik_api::report`].
#[derive(Debug, Default, Deserialize)]
pub struct Annotations {
    #[serde(rename = "crik.dev/last-checkpoint")]
    pub last_checkpoint: Option<String>,
    #[serde(rename = "crik.dev/last-start")]
    pub last_start: Option<String>,
    #[serde(rename = "crik.dev/protection")]
    pub protection: Option<String>,
    #[serde(rename = "crik.dev/move")]
    pub moving: Option<String>,
    #[serde(rename = "crik.dev/last-report")]
    pub last_report: Option<String>,
    #[serde(rename = "crik.dev/last-failure")]
    pub last_failure: Option<String>,
    #[serde(rename = "crik.dev/eviction-deadline")]
    pub eviction_deadline: Option<String>,
}

/// What a text says, if it is JSON of that form and no longer than what the controller writes.
pub fn read<T: DeserializeOwned>(text: Option<&String>) -> Option<T> {
    let text = text.filter(|text| text.len() <= limits::ANNOTATION_MAX_BYTES)?;
    serde_json::from_value(bounded(serde_json::from_str(text).ok()?)).ok()
}

/// With texts and lists that are no longer than those that the controller writes, since they are kept of each pod and shown.
fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(shortened_to(text, limits::WHY_MAX)),
        Value::Array(all) => all.into_iter().take(limits::SKIPPED_TOLD).map(bounded).collect(),
        Value::Object(all) => all.into_iter().map(|(name, value)| (name, bounded(value))).collect(),
        other => other,
    }
}

/// The time that a text says, such as `10m`, and the nearest that may be if it may not be.
pub fn read_deadline(text: Option<&String>) -> Option<Duration> {
    let said = humantime::parse_duration(text?).ok()?;
    Some(said.clamp(limits::EVICTION_DEADLINE_MIN, limits::EVICTION_DEADLINE_MAX))
}
