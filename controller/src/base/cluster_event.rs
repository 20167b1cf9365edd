//! Kubernetes Events, as the controller writes them. Pure.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::limits;

/// Who writes.
const COMPONENT: &str = "crik-controller";

/// What an Event is to say.
pub struct Told<'a> {
    /// The object that it is about.
    pub about: ObjectReference,
    /// The namespace that the Event is in.
    pub namespace: &'a str,
    /// What happened, in one word such as `Checkpointed`.
    pub reason: &'static str,
    /// Whether somebody should look at it.
    pub is_warning: bool,
    /// What happened, for people.
    pub message: String,
    /// What tells it from other Events with this reason, such as the object's uid: with the reason it makes its name.
    pub distinct: &'a [&'a str],
    /// Which replica writes.
    pub instance: &'a str,
    /// When it happened.
    pub at: Timestamp,
}

/// The Event. Whoever tells the same writes one of the same name, so that it is there once.
pub fn event(told: Told<'_>) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name(told.reason, told.distinct)),
            namespace: Some(told.namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: told.about,
        reason: Some(told.reason.to_owned()),
        type_: Some(if told.is_warning { "Warning" } else { "Normal" }.to_owned()),
        message: Some(told.message.chars().take(limits::EVENT_MESSAGE_MAX).collect()),
        count: Some(1),
        first_timestamp: Some(Time(told.at)),
        last_timestamp: Some(Time(told.at)),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(told.instance.to_owned()),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), ..EventSource::default() }),
        ..Event::default()
    }
}

/// A legal one.
fn name(reason: &str, distinct: &[&str]) -> String {
    let word = |text: &str| -> String {
        let lower = text.chars().map(|c| c.to_ascii_lowercase());
        lower.map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    };
    let words: Vec<String> = [reason].iter().chain(distinct).map(|text| word(text)).collect();
    words.join("-").chars().take(limits::NAME_MAX).collect::<String>().trim_end_matches('-').to_owned()
}
