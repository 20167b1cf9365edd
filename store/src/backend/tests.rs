//! Whatever is done with the names in an image directory, it comes to the same on a volume and in a bucket.

use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;

use crate::backend::bucket::{Bucket, faulty};
use crate::backend::directory::Directory;
use crate::backend::{Backend, Name};
use crate::base::limits;

#[derive(Debug, Clone)]
enum Step {
    Make(Name),
    MakeAll(Name),
    Create(Name, Vec<u8>),
    Write(Name, Vec<u8>),
    Rename(Name, Name),
    Remove(Name),
    Read(Name, u64),
    List(Name),
    Look(Name),
    Sync(Name),
}

/// Few names, so that they meet.
fn names() -> impl Strategy<Value = Name> {
    let part = prop_oneof![Just("a"), Just("b"), Just("c")];
    proptest::collection::vec(part, 1..4).prop_map(|parts| Name::from(parts.join("/").as_str()))
}

/// Small and large ones, texts and others.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'x'), Just(0xff)];
    let size =
        prop_oneof![Just(0), Just(3), Just(limits::INLINE_MAX_BYTES), Just(limits::INLINE_MAX_BYTES + 1)];
    (byte, size).prop_map(|(byte, size)| vec![byte; size])
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => names().prop_map(Step::Make),
        1 => names().prop_map(Step::MakeAll),
        3 => (names(), contents()).prop_map(|(name, contents)| Step::Create(name, contents)),
        1 => (names(), contents()).prop_map(|(name, contents)| Step::Write(name, contents)),
        4 => (names(), names()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => names().prop_map(Step::Remove),
        1 => (names(), 0_u64..9000).prop_map(|(name, most)| Step::Read(name, most)),
        1 => names().prop_map(Step::List),
        1 => names().prop_map(Step::Look),
        1 => names().prop_map(Step::Sync),
    ]
}

impl Step {
    /// What comes of it, without what each kind of backend says in a way of its own.
    fn take(&self, backend: &dyn Backend) -> Result<String, std::io::ErrorKind> {
        let done = match self {
            Self::Make(name) => backend.make(name).map(|()| String::new()),
            Self::MakeAll(name) => backend.make_all(name).map(|()| String::new()),
            Self::Create(name, contents) => backend.create(name, contents).map(|()| String::new()),
            Self::Write(name, contents) => backend.write(name, contents).map(|()| String::new()),
            Self::Rename(from, to) => backend.rename(from, to).map(|()| String::new()),
            Self::Remove(name) => backend.remove(name).map(|()| String::new()),
            Self::Read(name, most) => backend.read(name, *most).map(|bytes| format!("{bytes:?}")),
            Self::List(name) => backend.list(name).map(|mut listed| {
                listed.sort();
                format!("{listed:?}")
            }),
            Self::Look(name) => backend.look(name).map(|found| format!("{:?}", found.kind)),
            // It need not say that there is nothing.
            Self::Sync(name) => backend.look(name).and_then(|_| backend.sync(name)).map(|()| String::new()),
        };
        done.map_err(|error| error.kind())
    }
}

/// Everything below a name, with its contents.
fn all(backend: &dyn Backend, directory: &Name, found: &mut Vec<(String, Option<Vec<u8>>)>) {
    let mut listed = backend.list(directory).unwrap();
    listed.sort();
    for entry in listed {
        let name = directory.join(&entry.name);
        if entry.is_directory {
            found.push((name.to_string(), None));
            all(backend, &name, found);
        } else {
            found.push((name.to_string(), Some(backend.read(&name, u64::MAX).unwrap())));
        }
    }
}

#[test]
fn what_cannot_have_its_new_place_is_told_and_what_is_not_there_is_nothing() {
    let volume = tempfile::tempdir().unwrap();
    let bucket = Bucket::look(faulty::place(Arc::new(InMemory::new())).connect().unwrap());
    for backend in [&Directory::new(volume.path()) as &dyn Backend, &bucket] {
        backend.make_all(&Name::from("fresh")).unwrap();
        backend.create(&Name::from("fresh/pack"), b"pack").unwrap();
        backend.rename_all(&Name::from("none"), &Name::from("fresh")).unwrap();
        let error = backend.rename_all(&Name::from("fresh"), &Name::from("nowhere")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        backend.make(&Name::from("packs")).unwrap();
        backend.rename_all(&Name::from("fresh"), &Name::from("packs")).unwrap();
        assert_eq!(backend.read(&Name::from("packs/pack"), 9).unwrap(), b"pack");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_are_the_same_wherever_they_are(steps in proptest::collection::vec(steps(), 1..60)) {
        let volume = tempfile::tempdir().unwrap();
        let (directory, store) = (Directory::new(volume.path()), Arc::new(InMemory::new()));
        let pods = [(); 2].map(|()| Bucket::look(faulty::place(store.clone()).connect().unwrap()));
        pods[0].make_all(&Name::root()).unwrap();
        for (number, step) in steps.iter().enumerate() {
            // Each time the other one, whose memory of the names is old.
            prop_assert_eq!(step.take(&directory), step.take(&pods[number % 2]), "{:?}", step);
        }
        let [mut on_volume, mut in_bucket] = [Vec::new(), Vec::new()];
        all(&directory, &Name::root(), &mut on_volume);
        all(&pods[0], &Name::root(), &mut in_bucket);
        prop_assert_eq!(on_volume, in_bucket);
    }
}
