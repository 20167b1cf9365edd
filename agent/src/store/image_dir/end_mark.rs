//! The mark that a workload has ended: nothing older than it may be resumed.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::fault_points::{Point, reach};
use crate::base::limits;
use crate::store::image_dir::durable::to_json;
use crate::store::image_dir::error::{ImageDirError, io_at};
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::{Generation, ImageDir, no_links};

/// The mark's file in the image directory.
const FILE_NAME: &str = "ended.json";

/// The mark that the workload finished by itself or shut down in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndMark {
    /// The newest generation that existed then: neither it nor an older one may be resumed.
    pub newest: Generation,
    /// What ended it, for people.
    pub why: String,
}

impl EndMark {
    /// Reads the contents of the mark's file.
    ///
    /// # Errors
    /// They are not those of one.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

impl ImageDir {
    /// The mark of an end, if there is one. A mark that cannot be understood is an error and not «no mark»: to resume
    /// work that has finished is worse than to ask a person.
    ///
    /// # Errors
    /// The volume cannot be read, or the file is not what we write.
    pub fn ended(&self) -> Result<Option<EndMark>, ImageDirError> {
        let path = self.ended_path();
        match no_links::read_at_most(self.root(), Path::new(FILE_NAME), limits::SMALL_FILE_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at("read", &path)(error)),
            Ok(bytes) => EndMark::parse(&bytes)
                .map(Some)
                .map_err(|error| io_at("understand (remove it to allow a resume)", &path)(error.into())),
        }
    }

    /// The number for the next commit: above every generation that exists, or was there when the workload ended.
    ///
    /// # Errors
    /// The volume cannot be read, or there is no such number.
    pub fn next(&self) -> Result<Generation, ImageDirError> {
        self.newest_ever()?.next().ok_or_else(|| ImageDirError::NoNumber(self.root().into()))
    }

    fn newest_ever(&self) -> Result<Generation, ImageDirError> {
        let newest = self.list()?.first().copied().unwrap_or(Generation(0));
        let ended = self.ended()?.map_or(Generation(0), |ended| ended.newest);
        Ok(newest.max(ended))
    }

    fn ended_path(&self) -> PathBuf {
        self.root().join(FILE_NAME)
    }
}

impl Hold {
    /// Marks the workload as ended, if there is anything that could be resumed: no generation that exists now may be.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn mark_ended(&self, why: &str) -> Result<(), ImageDirError> {
        if self.dir().list()?.is_empty() {
            return Ok(());
        }
        let newest = self.dir().newest_ever()?;
        let ended = EndMark { newest, why: why.to_owned() };
        self.put(&self.dir().ended_path(), &to_json(&ended))?;
        reach(Point::EndMarked);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::store::image_dir::hold::fixture::{commit, held};

    #[test]
    fn a_mark_that_cannot_be_understood_is_not_taken_for_none() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        fs::write(dir.ended_path(), "{").unwrap();
        assert!(dir.ended().unwrap_err().to_string().contains("ended.json"));
    }

    #[test]
    fn a_number_is_never_used_again_after_an_end() {
        let (_volume, hold) = held();
        hold.mark_ended("nothing to resume").unwrap();
        assert_eq!(hold.dir().ended().unwrap(), None);
        let last = commit(&hold);
        hold.mark_ended("exit status 0").unwrap();
        assert_eq!(hold.dir().ended().unwrap().unwrap().newest, last);
        hold.remove(last).unwrap();
        assert_eq!(hold.dir().next().unwrap(), last.next().unwrap());
    }

    #[test]
    fn the_number_after_the_last_is_none_and_not_the_first() {
        let (_volume, hold) = held();
        commit(&hold);
        fs::write(hold.dir().ended_path(), r#"{"newest": 18446744073709551615, "why": "a test"}"#).unwrap();
        assert!(hold.dir().next().unwrap_err().to_string().contains("no number left"));
        hold.mark_ended("exit status 0").unwrap();
        assert_eq!(hold.dir().ended().unwrap().unwrap().newest, Generation(u64::MAX));
    }
}
