//! Where a page of a list begins.

use std::fmt;
use std::str::FromStr;

use crate::index::Version;

/// A place in the text of one version; as a word, what a list gives as `continue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Of which text.
    pub version: Version,
    /// How many nodes stand before it.
    pub from: usize,
}

/// That a word is none that a list gives.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPage;

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.version, self.from)
    }
}

impl FromStr for Page {
    type Err = NoPage;

    fn from_str(word: &str) -> Result<Self, NoPage> {
        let (version, from) = word.rsplit_once('-').ok_or(NoPage)?;
        let page =
            Self { version: version.parse().map_err(|_| NoPage)?, from: from.parse().map_err(|_| NoPage)? };
        // Numbers can be written in several ways, of which one is given.
        if page.to_string() == word { Ok(page) } else { Err(NoPage) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_gives_is_read_and_nothing_else() {
        for word in ["5f1c-17-100", "0-0-0", "ffffffffffffffff-18446744073709551615-1"] {
            assert_eq!(word.parse::<Page>().unwrap().to_string(), word);
        }
        for word in [
            "",
            "-",
            "--",
            "5f1c-17",
            "5F1C-17-1",
            "5f1c-17-+1",
            "05-1-1",
            "5-01-1",
            "5-1--1",
            "5-1-1-1",
            "é-1-1",
        ] {
            assert_eq!(word.parse::<Page>(), Err(NoPage), "{word}");
        }
    }
}
