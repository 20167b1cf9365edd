//! The mark that a workload has ended: nothing older than it may be resumed.

use serde::{Deserialize, Serialize};

use crate::backend::Name;
use crate::base::fault_points::{Point, reach};
use crate::image_dir::error::ImageDirError;
use crate::image_dir::hold::Hold;
use crate::image_dir::json::to_json;
use crate::image_dir::lines::Descent;
use crate::image_dir::{Generation, ImageDir};

/// The mark's file in the image directory.
const FILE_NAME: &str = "ended.json";

/// Where one goes that cannot be understood, for a person to look at.
const DAMAGED: &str = "damaged-ended.json";

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
        let name = Name::from(FILE_NAME);
        let Some(bytes) = self.read_small(&name).map_err(self.at("read", &name))? else { return Ok(None) };
        let damaged = |error: serde_json::Error| ImageDirError::Damaged {
            path: self.path_of(&name),
            reason: error.to_string(),
        };
        EndMark::parse(&bytes).map(Some).map_err(damaged)
    }

    /// The number for the next commit: above every generation that exists or was named, or was there when the workload ended.
    ///
    /// # Errors
    /// The volume cannot be read, or there is no such number.
    pub fn next(&self) -> Result<Generation, ImageDirError> {
        self.newest_ever()?.next().ok_or_else(|| ImageDirError::NoNumber(self.root().into()))
    }

    fn newest_ever(&self) -> Result<Generation, ImageDirError> {
        let newest = self.list()?.first().copied();
        let ended = self.ended()?.map(|ended| ended.newest);
        let named = self.lines()?.newest();
        Ok(newest.max(ended).max(named).unwrap_or(Generation(0)))
    }
}

impl Hold {
    /// Marks the workload as ended, if there is anything that could be resumed: no generation of its line that exists now may be.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn mark_ended(&self, why: &str) -> Result<(), ImageDirError> {
        match self.descent() {
            Descent::Main => {}
            Descent::Unseen(None) => return Ok(()),
            Descent::Unseen(Some(first)) if self.dir().lines()?.of(first).is_some() => {
                return self.end_line_of(first);
            }
            Descent::Unseen(Some(_)) => {}
        }
        if self.dir().list()?.is_empty() {
            return Ok(());
        }
        let newest = self.dir().newest_ever()?;
        let ended = EndMark { newest, why: why.to_owned() };
        self.put(&Name::from(FILE_NAME), &to_json(&ended))?;
        reach(Point::EndMarked);
        Ok(())
    }

    /// If the mark cannot be understood, nobody knows what it closed: all that is there then stands apart until a person decides, and
    /// the mark is in nobody's way any more.
    ///
    /// # Errors
    /// The volume fails, or another pod holds the image directory now.
    pub fn mend_end(&self) -> Result<(), ImageDirError> {
        let Err(damaged @ ImageDirError::Damaged { .. }) = self.dir().ended() else { return Ok(()) };
        tracing::error!(
            step = "find",
            "{damaged}; nobody knows what has ended, so the checkpoints that there are stand apart until you choose: see crik list"
        );
        self.set_all_apart("the mark of an end is damaged, so nobody knows whether its work has ended")?;
        let mark = Name::from(FILE_NAME);
        let moved = self.dir().backend().rename(&mark, &Name::from(DAMAGED));
        moved.map_err(|error| self.explain("rename", &self.dir().path_of(&mark), error))?;
        self.dir().sync(&Name::root())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_dir::fixture::{commit, everywhere};
    use crate::image_dir::resumable::resumable;

    #[test]
    fn a_mark_that_cannot_be_understood_is_not_taken_for_none() {
        everywhere(|place| {
            let dir = place.open();
            dir.backend().create(&FILE_NAME.into(), b"{").unwrap();
            assert!(dir.ended().unwrap_err().to_string().contains("ended.json"));
        });
    }

    #[test]
    fn a_damaged_mark_lets_nothing_be_resumed_and_stands_in_the_way_of_nothing_new() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            hold.dir().backend().create(&FILE_NAME.into(), b"{").unwrap();
            hold.mend_end().unwrap();
            assert_eq!((hold.dir().ended().unwrap(), resumable(hold.dir()).unwrap()), (None, Vec::new()));
            assert_eq!(hold.dir().lines().unwrap().apart[0].generations, [Generation(1)]);
            let new = commit(&hold);
            assert_eq!(resumable(hold.dir()).unwrap(), [new]);
            assert!(hold.dir().backend().look(&DAMAGED.into()).is_ok());
        });
    }

    #[test]
    fn a_number_is_never_used_again_after_an_end() {
        everywhere(|place| {
            let hold = place.held();
            hold.mark_ended("nothing to resume").unwrap();
            assert_eq!(hold.dir().ended().unwrap(), None);
            let last = commit(&hold);
            hold.mark_ended("exit status 0").unwrap();
            assert_eq!(hold.dir().ended().unwrap().unwrap().newest, last);
            hold.remove(last).unwrap();
            assert_eq!(hold.dir().next().unwrap(), last.next().unwrap());
        });
    }

    #[test]
    fn the_number_after_the_last_is_none_and_not_the_first() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            let most = br#"{"newest": 18446744073709551615, "why": "a test"}"#;
            hold.dir().backend().create(&FILE_NAME.into(), most).unwrap();
            assert!(hold.dir().next().unwrap_err().to_string().contains("no number left"));
            hold.mark_ended("exit status 0").unwrap();
            assert_eq!(hold.dir().ended().unwrap().unwrap().newest, Generation(u64::MAX));
        });
    }
}
