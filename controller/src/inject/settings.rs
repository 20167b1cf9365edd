//! What a cluster gives each pod: the agent's image, and what holds unless a pod says otherwise.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use crik_api::configuration::KEYS;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a cluster gives each pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The image that the agent and CRIU are taken from.
    pub agent_image: String,
    /// When it is pulled.
    #[serde(default)]
    pub image_pull_policy: Option<String>,
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
        for key in names(&settings.defaults) {
            let known = KEYS.iter().any(|(name, _)| *name == key);
            ensure!(known, "defaults: {key} is no key of the agent's configuration; see the README's table");
        }
        Ok(settings)
    }
}

/// The names of all keys, with a dot before what stands in a map.
fn names(of: &Map<String, Value>) -> Vec<String> {
    let names = of.iter().flat_map(|(name, value)| match value {
        Value::Object(inner) => inner.keys().map(|key| format!("{name}.{key}")).collect(),
        _ => vec![name.clone()],
    });
    names.collect()
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
            ("{agentImage: a, volume: b}", "volume"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(named), "{said}");
        }
    }
}
