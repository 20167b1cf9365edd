//! What the file says of the files that go along.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use super::problem::Problem;
use super::values::size;
use crate::base::limits;

/// Which files of the container go along without being named in `additionalPaths`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Carry {
    /// What has changed in the container's writable layer.
    pub layer: bool,
    /// What is in `/dev/shm` and in emptyDirs in memory.
    pub memory: bool,
    /// What is in emptyDirs on a disk.
    pub empty_dirs: bool,
    /// What of all that stays behind, and is left alone where the tree goes on.
    pub exclude: Vec<String>,
    /// How many bytes may go along, `additionalPaths` not counted.
    #[serde(deserialize_with = "size")]
    pub max_bytes: u64,
}

impl Default for Carry {
    fn default() -> Self {
        Self {
            layer: true,
            memory: true,
            empty_dirs: true,
            exclude: Vec::new(),
            max_bytes: limits::CARRY_MAX_BYTES,
        }
    }
}

impl Carry {
    /// What matches the paths that are excluded.
    ///
    /// # Errors
    /// A pattern is none; what is wrong.
    pub fn excluded(&self) -> Result<GlobSet, globset::Error> {
        let mut all = GlobSetBuilder::new();
        for pattern in &self.exclude {
            all.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
        }
        all.build()
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let wrong = |problem| Err(Problem::Value("carry.exclude", problem));
        let relative = |pattern: &&String| !pattern.starts_with('/') && !pattern.starts_with("**");
        if let Some(pattern) = self.exclude.iter().find(relative) {
            return wrong(format!("{pattern:?} must begin with / or **/, such as /var/cache/** or **/*.tmp"));
        }
        self.excluded().map(drop).or_else(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Carry, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_are_those_of_kubernetes_and_of_people() {
        for (text, bytes) in [("4Gi", 4 << 30), ("4GiB", 4 << 30), ("500MB", 500_000_000), ("1024", 1024)] {
            assert_eq!(parse(&format!("maxBytes: {text}")).unwrap().max_bytes, bytes, "{text}");
        }
        assert!(parse("maxBytes: much").unwrap_err().contains("\"much\" is no size such as 4GiB"));
        assert!(parse("maxBytes: -1").unwrap_err().contains("expected a size such as 4GiB"));
    }

    #[test]
    fn a_pattern_matches_whole_paths() {
        let carry = parse("exclude: [/var/cache/**, '**/*.tmp', /srv/*]").unwrap();
        let excluded = carry.excluded().unwrap();
        for path in ["/var/cache/a/b", "/home/x/y.tmp", "/y.tmp", "/srv/a"] {
            assert!(excluded.is_match(path), "{path}");
        }
        for path in ["/var/cache", "/var/cached", "/srv/a/b", "/home/x.tmp.gz"] {
            assert!(!excluded.is_match(path), "{path}");
        }
        for wrong in ["exclude: [cache]", "exclude: ['/a/[']"] {
            assert!(parse(wrong).unwrap().check().is_err(), "{wrong}");
        }
    }
}
