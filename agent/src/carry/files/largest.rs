//! Says in few paths where most of the bytes are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::units;

/// How many paths are named.
const NAMED: usize = 3;

/// The paths that hold most of these `files`, each with its bytes; the largest first, none inside of another.
pub fn largest<'a>(files: impl Iterator<Item = (&'a Path, u64)>) -> String {
    let mut sizes: BTreeMap<&Path, u64> = BTreeMap::new();
    for (file, bytes) in files {
        file.ancestors().for_each(|path| *sizes.entry(path).or_default() += bytes);
    }
    let total = sizes.get(Path::new("/")).copied().unwrap_or_default();
    let mut parts: BTreeMap<&Path, u64> = BTreeMap::new();
    for (path, bytes) in &sizes {
        if let Some(parent) = path.parent() {
            let part = parts.entry(parent).or_default();
            *part = (*part).max(*bytes);
        }
    }
    // One thing in it that has nearly all of it says more; and one that has nearly all of everything, in parts, says nothing.
    let nearly_all = |bytes: u64, of: u64| bytes >= of - of / 10;
    let is_telling = |path: &Path, bytes: u64| {
        let part = parts.get(path).copied().unwrap_or_default();
        bytes > 0 && !nearly_all(part, bytes) && !(nearly_all(bytes, total) && part >= bytes / 4)
    };
    let mut telling: Vec<(&Path, u64)> = sizes
        .iter()
        .map(|(path, bytes)| (*path, *bytes))
        .filter(|(path, bytes)| is_telling(path, *bytes))
        .collect();
    telling.sort_by_key(|(_, bytes)| Reverse(*bytes));
    let mut named: Vec<(&Path, u64)> = Vec::new();
    for (path, bytes) in telling {
        if named.len() < NAMED && !named.iter().any(|(other, _)| path.starts_with(other)) {
            named.push((path, bytes));
        }
    }
    let told: Vec<String> =
        named.iter().map(|(path, bytes)| format!("{} ({})", path.display(), units::bytes(*bytes))).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(files: &[(&str, u64)]) -> String {
        largest(files.iter().map(|(path, megabytes)| (Path::new(*path), megabytes * 1_000_000)))
    }

    #[test]
    fn what_has_the_most_is_named_as_narrowly_as_it_can_be() {
        assert_eq!(
            told(&[("/var/cache/big", 500), ("/tmp/a", 1)]),
            "/var/cache/big (500.0 MB), /tmp/a (1.0 MB)"
        );
        let many: Vec<(String, u64)> = (0..100).map(|n| (format!("/data/parts/{n}"), 5)).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|(path, size)| (path.as_str(), *size)).collect();
        assert_eq!(told(&many), "/data/parts (500.0 MB)");
        assert_eq!(
            told(&[("/a/x", 300), ("/b/y", 200), ("/c/z", 100), ("/d/w", 50)]),
            "/a/x (300.0 MB), /b/y (200.0 MB), /c/z (100.0 MB)"
        );
        assert_eq!(told(&[]), "");
    }
}
