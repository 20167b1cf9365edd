//! The agent's configuration: a pod's annotations over what the cluster gives.

use std::time::Duration;

use crik_api::configuration::KEYS;
use crik_api::report::EVICTION_DEADLINE;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

use super::asked::{CLAIM, CONTAINER, PREFIX};
use super::duration;
use super::expansion::spared;
use super::form;
use super::refusal::Refusal;
use super::settings::Settings;

/// What the agent takes for granted where its configuration is silent, of that which is looked at here.
const RESERVE: Duration = Duration::from_secs(5);
/// See [`RESERVE`].
const DECISION_TIMEOUT: Duration = Duration::from_secs(2);
/// What Kubernetes gives a pod that says nothing.
const GRACE_PERIOD_SECONDS: i64 = 30;

/// Said where a container starts a crik of its own, and nobody can see whether that has a configuration too.
pub const OVER_THE_IMAGES: &str = "crik: the container gets its configuration in CRIK_CONFIG, which counts more than an /etc/crik/config.yaml in its \
     image; give it --config-path if that is to hold";

/// Annotations that are no keys of it.
const OTHERS: [&str; 3] = [CONTAINER, CLAIM, EVICTION_DEADLINE];

/// The agent's configuration.
#[derive(Debug, Default, PartialEq)]
pub struct Configuration(Map<String, Value>);

impl Configuration {
    /// That of a pod.
    ///
    /// # Errors
    /// There is no time for a checkpoint, and the agent would not start the program.
    pub fn of(pod: &Pod, settings: &Settings, warnings: &mut Vec<String>) -> Result<Self, Refusal> {
        let mut all = Self(settings.defaults.clone());
        let own = annotations(pod, warnings);
        if !own.iter().any(|(key, _)| *key == "gracePeriod") {
            all.limit_grace_period(pod);
        }
        own.into_iter().for_each(|(key, value)| all.set(key, value));
        all.leaves_time()?;
        Ok(all)
    }

    /// The value of a key that is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// Sets a key, which may stand in a map.
    pub fn set(&mut self, key: &str, value: Value) {
        match key.split_once('.') {
            None => drop(self.0.insert(key.to_owned(), value)),
            Some((map, key)) => {
                let map = self.0.entry(map).or_insert_with(|| json!({}));
                if let Some(map) = map.as_object_mut() {
                    map.insert(key.to_owned(), value);
                }
            }
        }
    }

    /// As a container's variable has to have it for the agent.
    pub fn variable(&self) -> String {
        spared(serde_yaml::to_string(&self.0).unwrap_or_default())
    }

    /// A pod has what it asks for, or what its platform gives if that is less.
    fn limit_grace_period(&mut self, pod: &Pod) {
        let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = u64::try_from(seconds.unwrap_or(GRACE_PERIOD_SECONDS)).unwrap_or_default();
        let asked = Duration::from_secs(seconds);
        if duration::read(self.0.get("gracePeriod")).is_none_or(|given| given > asked) {
            self.set("gracePeriod", json!(format!("{seconds}s")));
        }
    }

    /// What cannot be read is the agent's to complain of.
    fn leaves_time(&self) -> Result<(), Refusal> {
        let of = |key: &str| duration::read(self.0.get(key));
        let needed = of("reserve").unwrap_or(RESERVE) + of("decisionTimeout").unwrap_or(DECISION_TIMEOUT);
        match of("gracePeriod").filter(|given| *given <= needed) {
            Some(given) => {
                Err(Refusal::NoTime { given: duration::write(given), needed: duration::write(needed) })
            }
            None => Ok(()),
        }
    }
}

/// The keys that the pod's annotations set.
fn annotations(pod: &Pod, warnings: &mut Vec<String>) -> Vec<(&'static str, Value)> {
    let all = pod.metadata.annotations.iter().flatten();
    let ours = all.filter(|(name, _)| name.starts_with(PREFIX) && !OTHERS.contains(&name.as_str()));
    let mut found = Vec::new();
    for (name, text) in ours {
        match read(name, text) {
            Ok(set) => found.push(set),
            Err(problem) => warnings.push(format!("crik: the annotation {name} is left out: {problem}")),
        }
    }
    found
}

fn read(name: &str, text: &str) -> Result<(&'static str, Value), String> {
    let named = KEYS.iter().find(|(key, _)| kebab(key) == name[PREFIX.len()..]);
    let (key, form) = named.ok_or("it is no key of the configuration; see the README's table")?;
    let value = match form {
        form if form.is_text() => json!(text),
        _ if repeats(text) => return Err(REPEATS.to_owned()),
        _ => serde_yaml::from_str(text).map_err(|error| format!("it is no YAML: {error}"))?,
    };
    form::problem(*form, &value).map_or(Ok((*key, value)), Err)
}

/// Of a few anchors and aliases gigabytes can be made, and whoever may create a pod writes annotations.
const REPEATS: &str = "a word of it begins with & or *, by which YAML repeats what stands elsewhere; write that out, or put the word in quotes";

/// Whether it may have an anchor or an alias, which begin a word.
fn repeats(text: &str) -> bool {
    let begins =
        |before: Option<char>| before.is_none_or(|one| one.is_whitespace() || "[]{},:-?!".contains(one));
    let befores = std::iter::once(None).chain(text.chars().map(Some));
    text.chars().zip(befores).any(|(one, before)| matches!(one, '&' | '*') && begins(before))
}

/// `nodeStateServerURL` as `node-state-server-url`.
fn kebab(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    let mut words = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let is_upper = |at: usize| letters.get(at).is_some_and(char::is_ascii_uppercase);
        // An abbreviation is one word; its last letter may begin the next.
        let is_inside =
            at > 0 && is_upper(at - 1) && letters.get(at + 1).is_none_or(char::is_ascii_uppercase);
        if at > 0 && letter.is_ascii_uppercase() && !is_inside {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_an_annotation_of_its_own() {
        for (key, annotation) in [
            ("imageDir", "image-dir"),
            ("nodeStateServerURL", "node-state-server-url"),
            ("nodeStateServerCAFile", "node-state-server-ca-file"),
            ("carry.maxBytes", "carry.max-bytes"),
            ("hooks.preCheckpoint", "hooks.pre-checkpoint"),
            ("release", "release"),
        ] {
            assert_eq!(kebab(key), annotation);
        }
        let mut all: Vec<String> = KEYS.iter().map(|(key, _)| kebab(key)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), KEYS.len());
    }

    #[test]
    fn what_yaml_would_repeat_is_refused_and_patterns_are_not() {
        for text in ["[&a [0, 0], *a, *a]", "*a", "{b: *a}", "[*a,*a]", "- *a", "[don't, *a]"] {
            assert!(read("crik.dev/checkpoint-on", text).unwrap_err().contains("write that out"), "{text}");
        }
        for text in ["['**/*.tmp', \"*.log\"]", "[/var/cache/**]", "a & b"] {
            let is_repeating = repeats(text);
            assert_eq!(is_repeating, text.contains(" &"), "{text}");
        }
    }

    #[test]
    fn what_kubernetes_would_replace_in_a_variable_is_spared() {
        let text = |value: &str| {
            Configuration([("release".to_owned(), json!(value))].into_iter().collect()).variable()
        };
        assert_eq!(text("${TAG}"), "release: ${TAG}\n");
        assert_eq!(text("$(TAG)"), "release: $$(TAG)\n");
        assert_eq!(text("$$(TAG)"), "release: $$$$(TAG)\n");
    }
}
