//! Tells a restored application which generation it is.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::durable::{ignore_missing, to_json};
use crate::image_dir::Generation;
use crate::limits;
use crate::manifest::Manifest;
use crate::pod::Pod;

/// The contents of `/run/crik/restored.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored<'a> {
    generation: Generation,
    checkpointed_at: String,
    checkpointed_on: Option<&'a str>,
    restored_at: String,
    restored_on: Option<&'a str>,
}

/// Writes the file before the first instruction of the tree. What an application reads there is never half written.
pub fn tell(manifest: &Manifest, here: &Pod) {
    let restored = Restored {
        generation: manifest.generation,
        checkpointed_at: rfc3339(UNIX_EPOCH + Duration::from_secs(manifest.created_at)),
        checkpointed_on: manifest.identity.node.as_deref(),
        restored_at: rfc3339(SystemTime::now()),
        restored_on: here.node.as_deref(),
    };
    warn(write(Path::new(limits::RESTORED), &to_json(&restored)));
}

/// Removes the file: what starts fresh was not restored.
pub fn forget() {
    warn(ignore_missing(fs::remove_file(limits::RESTORED)));
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let partial = path.with_extension("partial");
    fs::write(&partial, contents)?;
    fs::rename(&partial, path)
}

/// A container may have a read-only root file system, and few applications look.
fn warn(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!("{} cannot be written: {error}", limits::RESTORED);
    }
}

/// A time as RFC 3339 has it, to the second. A time that no machine should have is shown as the latest that can be.
fn rfc3339(time: SystemTime) -> String {
    let latest = UNIX_EPOCH + Duration::from_secs(limits::LATEST_TIME);
    humantime::format_rfc3339_seconds(time.min(latest)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_can_be_told() {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1_763_000_000)), "2025-11-13T02:13:20Z");
        assert!(rfc3339(UNIX_EPOCH + Duration::from_secs(u64::MAX / 4)).starts_with("9999"));
    }
}
