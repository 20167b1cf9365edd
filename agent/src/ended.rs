//! The mark that a workload has ended: nothing older than it may be resumed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::durable::{to_json, write_durably};
use crate::image_dir::{Generation, ImageDir, ImageDirError, io_at};

/// The mark that the workload finished by itself or shut down in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// The newest generation that existed then: neither it nor an older one may be resumed.
    pub newest: Generation,
    /// What ended it, for people.
    pub why: String,
}

impl ImageDir {
    /// The mark of an end, if there is one. A mark that cannot be understood is an error and not «no mark»: to resume
    /// work that has finished is worse than to ask a person.
    ///
    /// # Errors
    /// The volume cannot be read, or the file is not what we write.
    pub fn ended(&self) -> Result<Option<Ended>, ImageDirError> {
        let path = self.ended_path();
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at("read", &path)(error)),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| io_at("understand (remove it to allow a resume)", &path)(error.into())),
        }
    }

    /// Marks the workload of the image directory `path` as ended, if there is anything that could be resumed. Says in the
    /// log if it cannot.
    pub fn end(path: &Path, why: &str) {
        let marked = Self::open(path)
            .and_then(|dir| if dir.list()?.is_empty() { Ok(()) } else { dir.mark_ended(why).map(drop) });
        if let Err(error) = marked {
            tracing::error!("the end cannot be marked, so an older checkpoint may be resumed: {error}");
        }
    }

    /// Marks the workload as ended: no generation that exists now may be resumed.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn mark_ended(&self, why: &str) -> Result<Ended, ImageDirError> {
        let newest = Generation(self.next()?.0 - 1);
        let ended = Ended { newest, why: why.to_owned() };
        write_durably(&self.ended_path(), &to_json(&ended))?;
        Ok(ended)
    }

    fn ended_path(&self) -> PathBuf {
        self.root().join("ended.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_cannot_be_understood_is_not_taken_for_none() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        fs::write(dir.ended_path(), "{").unwrap();
        assert!(dir.ended().unwrap_err().to_string().contains("ended.json"));
    }
}
