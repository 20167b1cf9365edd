//! Names in an image directory.

use std::fmt;
use std::path::Path;

/// What something in an image directory is called, from its root on: parts with `/` between them. It leads nowhere else, and says
/// nothing of where the image directory is.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// That of the image directory itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// That of `part` in it, or of what is called `part`, `below` it.
    #[must_use]
    pub fn join(&self, part: &str) -> Self {
        if self.0.is_empty() { Self(part.to_owned()) } else { Self(format!("{}/{part}", self.0)) }
    }

    /// That of the directory that it is in.
    #[must_use]
    pub fn parent(&self) -> Self {
        self.0.rsplit_once('/').map_or_else(Self::root, |(parent, _)| Self(parent.to_owned()))
    }

    /// Its last part.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, last)| last)
    }

    /// Its parts, from the root on.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// Whether it is that of the image directory itself.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is that of something in `directory`, or in what is in it.
    pub(super) fn is_below(&self, directory: &Self) -> bool {
        self.0.strip_prefix(&directory.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// As a path from the root on.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_found_in_its_parent_by_its_last_part() {
        let hold = Name::root().join("holders").join("00000001");
        assert_eq!((hold.to_string().as_str(), hold.last()), ("holders/00000001", "00000001"));
        assert_eq!((hold.parent(), hold.parent().parent()), (Name::from("holders"), Name::root()));
    }
}
