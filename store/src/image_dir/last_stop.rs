//! Why the last stop left no checkpoint: the log that said so is gone with its pod, so it is kept for who asks later.

use serde::{Deserialize, Serialize};

use crate::backend::Name;
use crate::base::{limits, units};
use crate::image_dir::error::ImageDirError;
use crate::image_dir::hold::Hold;
use crate::image_dir::json::to_json;
use crate::image_dir::pod::Pod;
use crate::image_dir::{Generation, ImageDir};

/// The file's name in the image directory.
const FILE_NAME: &str = "last-stop.json";

/// A stop without a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastStop {
    /// When, in seconds since 1970.
    pub at: u64,
    /// The pod that was stopped.
    pub host: String,
    /// Its node.
    pub node: Option<String>,
    /// Why there is no checkpoint.
    pub why: String,
    /// Whether none was tried, since the decision was `terminate`.
    #[serde(default)]
    pub unwanted: bool,
    /// The newest generation that there was; with a newer one this is no news any more.
    pub newest: Option<Generation>,
}

/// Why a stop leaves no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCheckpoint {
    /// None was wanted, for this reason.
    Unwanted(String),
    /// The one that was tried failed, for this reason.
    Failed(String),
}

impl LastStop {
    /// Reads the contents of its file.
    ///
    /// # Errors
    /// They are not those of one.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

impl std::fmt::Display for LastStop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the last stop, of {}", self.host)?;
        self.node.iter().try_for_each(|node| write!(f, " on {node}"))?;
        write!(f, " at {}, left no checkpoint: {}", units::rfc3339(self.at), self.why)
    }
}

impl ImageDir {
    /// The last stop, if it left no checkpoint. What cannot be understood is nothing, since it is for people only.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn last_stop(&self) -> Result<Option<LastStop>, ImageDirError> {
        let name = Name::from(FILE_NAME);
        let Some(bytes) = self.read_small(&name).map_err(self.at("read", &name))? else { return Ok(None) };
        let (stop, newest) = (LastStop::parse(&bytes).ok(), self.list()?.first().copied());
        Ok(stop.filter(|stop| stop.newest >= newest))
    }
}

impl Hold {
    /// Notes that `pod` was stopped without a checkpoint, and why.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn note_stop(&self, pod: &Pod, reason: &NoCheckpoint) -> Result<(), ImageDirError> {
        let (NoCheckpoint::Unwanted(why) | NoCheckpoint::Failed(why)) = reason;
        let stop = LastStop {
            at: units::now(),
            host: pod.host.clone(),
            node: pod.node.clone(),
            why: why.chars().take(limits::SAID_MAX_CHARS).collect(),
            unwanted: matches!(reason, NoCheckpoint::Unwanted(_)),
            newest: self.dir().list()?.first().copied(),
        };
        self.put(&Name::from(FILE_NAME), &to_json(&stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_dir::fixture::{commit, everywhere, wish};

    #[test]
    fn it_is_told_until_there_is_a_newer_checkpoint() {
        everywhere(|place| {
            let hold = place.held();
            let told = || hold.dir().last_stop().unwrap().map(|stop| stop.to_string());
            let note = |reason| hold.note_stop(&wish("job-0").pod, &reason).unwrap();
            assert_eq!(told(), None);
            note(NoCheckpoint::Failed("it uses io_uring".to_owned()));
            assert!(told().unwrap().ends_with("left no checkpoint: it uses io_uring"));
            commit(&hold);
            assert_eq!(told(), None);
            note(NoCheckpoint::Unwanted("the pod is deleted".to_owned()));
            assert!(told().unwrap().starts_with("the last stop, of job-0 at "));
            hold.dir().backend().create(&FILE_NAME.into(), b"{").unwrap();
            assert_eq!(told(), None);
        });
    }
}
