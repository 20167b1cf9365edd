//! The program's files, and whether they are still the same: a resumed tree goes on with the code that it has in memory, so it
//! must not be taken for a later release. CRIU itself compares only what is mapped, and a script is not.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::Path;

use crate::store::generation::digest::{self, FileDigest};

/// The facts of each of the files, by its path.
pub type Facts = BTreeMap<String, FileDigest>;

/// Why a tree that was started from `past` cannot stand for what is here, if it cannot.
pub fn changed(past: &Facts) -> Option<String> {
    let (path, _) = past.iter().find(|(path, facts)| !is_same(Path::new(path), facts))?;
    Some(format!(
        "the program {path} is another one than at the checkpoint (a new release?); to go on from there, use the image of \
         that time"
    ))
}

fn is_same(path: &Path, past: &FileDigest) -> bool {
    let size = fs::metadata(path).ok().filter(Metadata::is_file).map(|file| file.len());
    size == Some(past.size) && digest::hash_file(path).is_ok_and(|facts| facts == *past)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_program_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.py");
        fs::write(&path, "one").unwrap();
        let facts: Facts = [(path.to_str().unwrap().to_owned(), digest::hash_file(&path).unwrap())].into();
        assert_eq!(changed(&facts), None);
        fs::write(&path, "two").unwrap();
        assert!(changed(&facts).unwrap().contains("job.py is another one than at the checkpoint"));
        fs::remove_file(&path).unwrap();
        assert!(changed(&facts).is_some());
    }
}
