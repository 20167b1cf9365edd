//! Reads values that are more than a word.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::problem::Problem;

/// Replaces each `${NAME}` in the text of `key` by the environment's value, if that is `allowed`.
pub(super) fn expand(
    key: &'static str,
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
    allowed: fn(&str) -> bool,
) -> Result<String, Problem> {
    let wrong = |problem: String| Problem::Value(key, problem);
    let (mut rest, mut expanded) = (text, String::new());
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| wrong(format!("{text} has a ${{ without its }}")))?;
        let value = variable(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            wrong(format!(
                "the environment variable {name} is not set; set it in the pod spec (downward API)"
            ))
        })?;
        if !allowed(&value) {
            return Err(wrong(format!(
                "the environment variable {name} is {value:?}, which is no file name"
            )));
        }
        expanded += before;
        expanded += &value;
        rest = after;
    }
    Ok(expanded + rest)
}

/// A value with a slash or a dot-dot would lead out of the directory that the author meant.
pub(super) fn is_a_file_name(value: &str) -> bool {
    !value.contains('/') && value != ".."
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

/// In bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Size;
    impl Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as 4GiB or 500MB")
        }

        fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
            Ok(bytes)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            let size: Result<ByteSize, String> = text.parse();
            size.map(|size| size.0)
                .map_err(|_| E::custom(format!("{text:?} is no size such as 4GiB or 500MB")))
        }
    }
    deserializer.deserialize_any(Size)
}
