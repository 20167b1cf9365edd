//! The program's files, and whether they are still the same: a resumed tree goes on with the code that it has in memory, so it
//! must not be taken for a later release. CRIU itself compares only what is mapped, and a script is not.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::generation::digest::{self, FileDigest};
use crate::generation::own_values::OwnValues;
use crate::generation::pod_facts::PodFacts;

/// The facts of each of the files, by its path.
pub type Facts = BTreeMap<String, FileDigest>;

/// What is known of what a program was started from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramDigests {
    /// The facts of each.
    #[serde(default, rename = "programs", skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
    /// BLAKE3 of those that are made for each pod, without the pod's own values.
    #[serde(default, rename = "programsOfAnyPod", skip_serializing_if = "BTreeMap::is_empty")]
    pub of_any_pod: BTreeMap<String, String>,
    /// What the pod gave it besides.
    #[serde(flatten)]
    pub pod: PodFacts,
}

/// Why a tree that was started from `past` cannot stand for what is here, in a pod with these values of its own, if it cannot.
pub fn changed(past: &ProgramDigests, here: &OwnValues) -> Option<String> {
    let same_but_for_the_pod = |path: &str| {
        let past = past.of_any_pod.get(path);
        past.is_some() && of_any_pod(Path::new(path), here).as_ref() == past
    };
    let differs = |(path, facts): &(&String, &FileDigest)| {
        !is_same(Path::new(path), facts) && !same_but_for_the_pod(path)
    };
    let (path, _) = past.facts.iter().find(differs)?;
    Some(format!(
        "the program {path} is another one than at the checkpoint (a new release?); to go on from there, use the image of \
         that time"
    ))
}

/// BLAKE3 of a file without the pod's own values; none if it has none of them or is no text.
pub fn of_any_pod(path: &Path, own: &OwnValues) -> Option<String> {
    let size = fs::metadata(path).ok().filter(Metadata::is_file)?.len();
    let text = (size <= limits::POD_FILE_MAX_BYTES).then(|| fs::read_to_string(path).ok())??;
    let without = own.taken_out_of(&text);
    (without != text).then(|| blake3::hash(without.as_bytes()).to_hex().to_string())
}

fn is_same(path: &Path, past: &FileDigest) -> bool {
    let size = fs::metadata(path).ok().filter(Metadata::is_file).map(|file| file.len());
    size == Some(past.size) && digest::hash_file(path).is_ok_and(|facts| facts == *past)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::own_values::Kind;

    #[test]
    fn a_changed_program_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.py");
        fs::write(&path, "one").unwrap();
        let facts: Facts = [(path.to_str().unwrap().to_owned(), digest::hash_file(&path).unwrap())].into();
        let past = ProgramDigests { facts, ..ProgramDigests::default() };
        let changed = || changed(&past, &OwnValues::default());
        assert_eq!(changed(), None);
        fs::write(&path, "two").unwrap();
        assert!(changed().unwrap().contains("job.py is another one than at the checkpoint"));
        fs::remove_file(&path).unwrap();
        assert!(changed().is_some());
    }

    #[test]
    fn a_file_that_is_made_for_each_pod_may_differ_in_the_pods_own_values_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.conf");
        let name = path.to_str().unwrap().to_owned();
        let pod = |ip: &str| OwnValues::new([(Kind::Ipv4, ip.to_owned())]);
        fs::write(&path, "bind 10.0.0.5\nworkers 2\n").unwrap();
        let past = ProgramDigests {
            facts: [(name.clone(), digest::hash_file(&path).unwrap())].into(),
            of_any_pod: [(name, of_any_pod(&path, &pod("10.0.0.5")).unwrap())].into(),
            ..ProgramDigests::default()
        };
        fs::write(&path, "bind 10.1.0.77\nworkers 2\n").unwrap();
        assert_eq!(changed(&past, &pod("10.1.0.77")), None);
        assert!(changed(&past, &pod("10.1.0.78")).is_some());
        fs::write(&path, "bind 10.1.0.77\nworkers 3\n").unwrap();
        assert!(changed(&past, &pod("10.1.0.77")).is_some());
    }
}
