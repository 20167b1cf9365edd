//! Durations as the configuration has them.

use std::time::Duration;

use serde_json::Value;

/// The duration, if it is one.
pub fn read(value: Option<&Value>) -> Option<Duration> {
    humantime::parse_duration(value?.as_str()?).ok()
}

/// As the configuration has it.
pub fn write(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}
