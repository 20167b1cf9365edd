//! Reads values that are more than a word.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::problem::Problem;

/// Replaces each `${NAME}` by the environment's value, so that replicas do not share an image directory.
pub(super) fn expand(dir: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Problem> {
    let wrong = |problem: String| Problem::Value("imageDir", problem);
    let mut rest = dir.to_str().ok_or_else(|| wrong("is not UTF-8".to_owned()))?;
    let mut expanded = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| wrong(format!("{} has a ${{ without its }}", dir.display())))?;
        let value = variable(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            wrong(format!(
                "the environment variable {name} is not set; set it in the pod spec (downward API)"
            ))
        })?;
        // A value with a slash or a dot-dot would lead out of the directory that the author meant.
        if value.contains('/') || value == ".." {
            return Err(wrong(format!(
                "the environment variable {name} is {value:?}, which is no file name"
            )));
        }
        expanded += before;
        expanded += &value;
        rest = after;
    }
    Ok(PathBuf::from(expanded + rest))
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("{text:?} is no duration such as 30s or 1m30s: {error}")))
}

pub(super) fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}
