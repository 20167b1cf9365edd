//! What a cluster gives each pod: the agent's image, and what holds unless a pod says otherwise.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use crik_api::configuration::KEYS;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::form;
use crate::registry::Host;

/// What a cluster gives each pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The image that the agent and CRIU are taken from.
    pub agent_image: String,
    /// When it is pulled.
    #[serde(default)]
    pub image_pull_policy: Option<String>,
    /// The Secrets by which it is pulled, of these names in each namespace.
    #[serde(default)]
    pub agent_pull_secrets: Vec<String>,
    /// Whether registries are asked what an image starts whose container names no command.
    #[serde(default = "yes")]
    pub look_up_images: bool,
    /// Registries that are reached in a way of their own.
    #[serde(default)]
    pub registries: Vec<Host>,
    /// Whether registries are shown what is in the pod's pull secrets, for which the controller may read all Secrets.
    #[serde(default)]
    pub pull_secrets: bool,
    /// `false` gives pods users of their own where their volumes allow it.
    #[serde(default)]
    pub host_users: Option<bool>,
    /// The Pod Security level of namespaces that name none, which the cluster's AdmissionConfiguration sets.
    #[serde(default)]
    pub pod_security_default: Option<String>,
    /// The claim for checkpoints of pods that name none.
    #[serde(default)]
    pub volume_claim: Option<String>,
    /// For whom the token is made that the agent shows the controller, if it is to show one.
    #[serde(default)]
    pub token_audience: Option<String>,
    /// Keys of the agent's configuration.
    #[serde(default)]
    pub defaults: Map<String, Value>,
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or says what nobody understands.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is wrong", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let settings: Self = serde_yaml::from_str(text)?;
        ensure!(!settings.agent_image.is_empty(), "agentImage must not be empty");
        ensure!(settings.host_users != Some(true), "hostUsers can only be false, or be left out");
        for (key, value) in values(&settings.defaults) {
            let known = KEYS.iter().find(|(name, _)| *name == key);
            let (_, form) = known.with_context(|| {
                format!("defaults: {key} is no key of the agent's configuration; see the README's table")
            })?;
            if let Some(problem) = form::problem(*form, value) {
                bail!("defaults: {key}: {problem}");
            }
        }
        Ok(settings)
    }
}

fn yes() -> bool {
    true
}

/// All keys and their values, with a dot before what stands in a map.
fn values(of: &Map<String, Value>) -> Vec<(String, &Value)> {
    let values = of.iter().flat_map(|(name, value)| match value {
        Value::Object(inner) => inner.iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect(),
        _ => vec![(name.clone(), value)],
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_that_the_agent_does_not_know_is_refused_by_its_name() {
        let parse = |text: &str| Settings::parse(text).map_err(|error| format!("{error:#}"));
        assert!(parse("{agentImage: a, defaults: {gracePeriod: 20s, carry: {layer: false}}}").is_ok());
        for (text, named) in [
            ("{agentImage: a, defaults: {gracePerod: 20s}}", "gracePerod"),
            ("{agentImage: a, defaults: {carry: {layers: false}}}", "carry.layers"),
            ("{agentImage: ''}", "agentImage"),
            ("{}", "agentImage"),
            ("{agentImage: a, hostUsers: true}", "hostUsers"),
            ("{agentImage: a, registries: [{plainHttp: true}]}", "host"),
            ("{agentImage: a, volume: b}", "volume"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(named), "{said}");
        }
    }

    #[test]
    fn a_default_that_no_agent_could_read_is_refused_before_a_pod_has_it() {
        let parse = |defaults: &str| Settings::parse(&format!("{{agentImage: a, defaults: {{{defaults}}}}}"));
        for wrong in [
            "gracePeriod: soon",
            "gracePeriod: 30",
            "onUnknown: stop",
            "carry: {layer: perhaps}",
            "keepGenerations: -1",
            "warmUpRate: fast",
            "checkpointOn: draining",
            "hooks: {preCheckpoint: sync}",
            "release: 1.10",
        ] {
            let said = format!("{:#}", parse(wrong).unwrap_err());
            assert!(said.contains(wrong.split(':').next().unwrap()), "{wrong}: {said}");
        }
        let right = "gracePeriod: 1m30s, onUnknown: checkpoint, carry: {layer: false, maxBytes: 4GiB}, keepGenerations: 3, \
                     warmUpRate: 50000000, checkpointOn: [draining], hooks: {preCheckpoint: {command: [sync]}}, release: '1.10'";
        assert!(parse(right).is_ok(), "{:?}", parse(right));
    }
}
