//! Whether the program of the pod that holds an image directory could go on elsewhere, as that pod has found: for its log and for who
//! looks at the volume, always in the same words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image_dir::error::ImageDirError;
use crate::image_dir::hold::Hold;
use crate::image_dir::json::to_json;
use crate::image_dir::{ImageDir, names};

/// The file's name, in the hold's own directory: it ends with the hold.
const FILE_NAME: &str = "verdict.json";

/// Whether a program is protected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Why it is not; none if it is.
    pub reasons: Vec<String>,
    /// Where its checkpoints go, and how its clocks go on.
    pub how: String,
    /// How many things stand in nobody's way and should be known.
    pub warnings: usize,
}

/// A verdict as programs are told it: in the words of the log too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldVerdict {
    protected: bool,
    /// The words.
    pub told: String,
    reasons: Vec<String>,
}

impl From<Verdict> for ToldVerdict {
    fn from(verdict: Verdict) -> Self {
        Self { protected: verdict.is_protected(), told: verdict.to_string(), reasons: verdict.reasons }
    }
}

impl Verdict {
    /// Of a program that is not protected, for this one reason.
    #[must_use]
    pub fn not(reason: &str) -> Self {
        Self { reasons: vec![reason.to_owned()], ..Self::default() }
    }

    /// Whether checkpoints can be taken and resumed elsewhere.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Reads the contents of its file.
    ///
    /// # Errors
    /// They are not those of one.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    fn protected(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protected: checkpoints can be taken and resumed elsewhere ({}", self.how)?;
        match self.warnings {
            0 => write!(f, ")"),
            1 => write!(f, "; 1 warning, see crik doctor)"),
            more => write!(f, "; {more} warnings, see crik doctor)"),
        }
    }
}

/// In one line, so that many logs can be searched for it.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |reason: &String| reason.replace('\n', " ");
        match self.reasons.as_slice() {
            [] => self.protected(f),
            [reason] => write!(f, "NOT PROTECTED: 1 reason: {}", line(reason)),
            reasons => {
                write!(f, "NOT PROTECTED: {} reasons:", reasons.len())?;
                (1..).zip(reasons).try_for_each(|(number, reason)| write!(f, " ({number}) {}", line(reason)))
            }
        }
    }
}

impl ImageDir {
    /// What the pod with the hold of this number has found last. What cannot be read or understood is nothing, since it is for people
    /// only.
    #[must_use]
    pub fn verdict(&self, hold: u64) -> Option<Verdict> {
        let bytes = self.read_small(&names::hold(hold).join(FILE_NAME)).ok()?;
        Verdict::parse(&bytes?).ok()
    }
}

impl Hold {
    /// Keeps it for who looks.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn keep_verdict(&self, verdict: &Verdict) -> Result<(), ImageDirError> {
        self.put(&self.name().join(FILE_NAME), &to_json(verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_dir::fixture::everywhere;
    use crate::image_dir::hold::newest;

    #[test]
    fn it_is_always_told_in_the_same_words() {
        let of = |reasons: &[&str], warnings| Verdict {
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
            how: "imageDir /c".to_owned(),
            warnings,
        };
        for (verdict, told) in [
            (of(&[], 0), "protected: checkpoints can be taken and resumed elsewhere (imageDir /c)"),
            (
                of(&[], 1),
                "protected: checkpoints can be taken and resumed elsewhere (imageDir /c; 1 warning, see crik doctor)",
            ),
            (of(&["no\nroom"], 1), "NOT PROTECTED: 1 reason: no room"),
            (of(&["no room", "no criu"], 0), "NOT PROTECTED: 2 reasons: (1) no room (2) no criu"),
        ] {
            assert_eq!(verdict.to_string(), told);
            assert_eq!(verdict.is_protected(), verdict.reasons.is_empty());
        }
    }

    #[test]
    fn it_is_kept_with_the_hold() {
        everywhere(|place| {
            let hold = place.held();
            let seen = || hold.dir().verdict(newest(hold.dir()).unwrap().unwrap().number);
            assert_eq!(seen(), None);
            for verdict in [Verdict::not("no room"), Verdict::default()] {
                hold.keep_verdict(&verdict).unwrap();
                assert_eq!(seen(), Some(verdict));
            }
            hold.dir().backend().create(&hold.name().join(FILE_NAME), b"{").unwrap();
            assert_eq!(seen(), None);
        });
    }
}
