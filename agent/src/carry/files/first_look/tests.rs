//! What is found at the second look is what a look at everything finds, whatever a program does between the two.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread::sleep;
use std::time::Duration;

use nix::unistd::mkfifo;
use proptest::prelude::*;

use super::*;
use crate::carry::files::beginning::changed_at;
use crate::carry::files::mounts::Mounts;
use crate::carry::files::places::{Place, PlaceKind};
use crate::carry::files::spared::Spared;
use crate::config::Config;

/// A layer in which nothing has changed.
struct Layer {
    dir: tempfile::TempDir,
    places: Vec<Place>,
    spared: Spared,
    since: i64,
}

impl Layer {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/one", "a/two", "b/one", "b/c/one", "b/c/d/one", "e/f/one"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "as in the image").unwrap();
        }
        fs::hard_link(dir.path().join("a/one"), dir.path().join("e/linked")).unwrap();
        // A change has the time of the kernel's last tick.
        sleep(Duration::from_millis(20));
        let mark = tempfile::NamedTempFile::new_in(dir.path().parent().unwrap()).unwrap();
        let since = changed_at(&mark.as_file().metadata().unwrap());
        let mounts = Mounts::parse(format!("1 0 0:1 / {} rw - ext4 x rw", dir.path().display()).as_bytes());
        let places = vec![Place { path: dir.path().into(), kind: PlaceKind::Layer }];
        Self { dir, places, spared: Spared::new(mounts, &Config::default()), since }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn walk(&self) -> Walk<'_> {
        let mut walk = Walk::new(0, &self.places[0], &self.places, &self.spared);
        walk.since = Some(self.since);
        walk
    }

    /// Path, change time and names of all that goes along, as a look at everything finds it.
    fn everything(&self) -> Vec<(PathBuf, i64, Option<BTreeSet<std::ffi::OsString>>)> {
        let walk = self.walk();
        told(sorted(walk.run(self.dir.path().symlink_metadata().unwrap()).unwrap()))
    }
}

fn own() -> Vec<i32> {
    vec![std::process::id().cast_signed()]
}

fn told(found: Vec<Found>) -> Vec<(PathBuf, i64, Option<BTreeSet<std::ffi::OsString>>)> {
    let names = |names: Option<Vec<std::ffi::OsString>>| names.map(|names| names.into_iter().collect());
    found.into_iter().map(|found| (found.path, changed_at(&found.meta), names(found.names))).collect()
}

/// What is found after `change`, once by looking again and once by looking at everything; they must be the same, and have changed.
fn is_seen(change: impl FnOnce(&Layer)) {
    let layer = Layer::new();
    let (first_look, found) = FirstLook::new(&layer.walk(), own).unwrap();
    let before = told(sorted(found));
    change(&layer);
    let again = first_look.unwrap().again(&layer.walk()).unwrap().unwrap();
    let all = layer.everything();
    assert_eq!(told(again), all);
    assert_ne!(before, all, "the change is none");
}

#[test]
fn a_change_of_every_kind_is_seen() {
    let append = |path: PathBuf| File::options().append(true).open(path).unwrap().write_all(b"x").unwrap();
    is_seen(|layer| append(layer.at("a/two")));
    is_seen(|layer| fs::set_permissions(layer.at("a/two"), Permissions::from_mode(0o600)).unwrap());
    is_seen(|layer| fs::set_permissions(layer.at("b/c"), Permissions::from_mode(0o700)).unwrap());
    is_seen(|layer| std::os::unix::fs::lchown(layer.at("b/c/one"), Some(7), Some(7)).unwrap());
    is_seen(|layer| xattr::set(layer.at("b/one"), "user.x", b"1").unwrap());
    is_seen(|layer| xattr::set(layer.at("b/c"), "user.x", b"1").unwrap());
    is_seen(|layer| File::open(layer.at("b/one")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap());
    is_seen(|layer| File::options().write(true).open(layer.at("a/two")).unwrap().set_len(3).unwrap());
    is_seen(|layer| nix::unistd::truncate(&layer.at("a/two"), 3).unwrap());
    is_seen(|layer| fs::rename(layer.at("a/two"), layer.at("b/three")).unwrap());
    is_seen(|layer| fs::rename(layer.at("a/two"), layer.at("b/one")).unwrap());
    is_seen(|layer| fs::rename(layer.at("b/c"), layer.at("a/c")).unwrap());
    is_seen(|layer| fs::remove_file(layer.at("b/c/d/one")).unwrap());
    is_seen(|layer| fs::remove_dir_all(layer.at("b")).unwrap());
    is_seen(|layer| symlink("one", layer.at("b/c/link")).unwrap());
    is_seen(|layer| mkfifo(&layer.at("b/c/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap());
    is_seen(|layer| fs::create_dir_all(layer.at("new/x/y")).unwrap());
}

#[test]
fn a_change_by_one_name_is_seen_by_the_others() {
    let append = |path: PathBuf| File::options().append(true).open(path).unwrap().write_all(b"x").unwrap();
    is_seen(|layer| append(layer.at("e/linked")));
    is_seen(|layer| fs::remove_file(layer.at("a/one")).unwrap());
    // A new directory is walked, and what is in it has several names by then.
    is_seen(|layer| {
        fs::create_dir(layer.at("new")).unwrap();
        fs::write(layer.at("new/file"), "x").unwrap();
        fs::hard_link(layer.at("new/file"), layer.at("b/file")).unwrap();
    });
}

#[test]
fn a_directory_in_place_of_another_one_is_walked() {
    is_seen(|layer| {
        fs::rename(layer.at("b"), layer.at("old")).unwrap();
        fs::create_dir_all(layer.at("b/c")).unwrap();
        fs::write(layer.at("b/c/one"), "new").unwrap();
    });
    // Nothing is found through a link.
    is_seen(|layer| {
        fs::write(layer.at("b/c/one"), "changed").unwrap();
        fs::rename(layer.at("b/c"), layer.at("e/c")).unwrap();
        symlink(layer.at("e/c"), layer.at("b/c")).unwrap();
    });
    is_seen(|layer| {
        fs::write(layer.at("b/c/one"), "changed").unwrap();
        fs::remove_dir_all(layer.at("b/c")).unwrap();
        fs::write(layer.at("b/c"), "a file now").unwrap();
    });
    // There and back.
    is_seen(|layer| {
        fs::rename(layer.at("b"), layer.at("away")).unwrap();
        fs::write(layer.at("away/c/one"), "changed").unwrap();
        fs::rename(layer.at("away"), layer.at("b")).unwrap();
    });
}

/// Nothing tells of what is written through memory.
#[test]
fn what_is_written_through_a_mapping_is_seen_while_it_is_there_and_after_it() {
    let layer = Layer::new();
    let file = File::options().read(true).write(true).open(layer.at("b/one")).unwrap();
    let mapped = map(&file);
    drop(file);
    let (first_look, found) = FirstLook::new(&layer.walk(), own).unwrap();
    let first_look = first_look.unwrap();
    assert!(found.is_empty(), "{found:?}");
    // SAFETY: the mapping is as long.
    unsafe { mapped.write_volatile(b'x') };
    let again = |layer: &Layer| told(first_look.again(&layer.walk()).unwrap().unwrap());
    let written = again(&layer);
    assert_eq!(written, layer.everything());
    assert!(written.iter().any(|(path, ..)| *path == layer.at("b/one")), "{written:?}");
    // SAFETY: it was mapped with this length, and nobody uses it any more.
    unsafe { libc::munmap(mapped.cast(), 1) };
    assert_eq!(again(&layer), layer.everything());
    let file = File::options().read(true).write(true).open(layer.at("b/c/one")).unwrap();
    let mapped = map(&file);
    drop(file);
    // SAFETY: the mapping is as long.
    unsafe { mapped.write_volatile(b'x') };
    // SAFETY: it was mapped with this length, and nobody uses it any more.
    unsafe { libc::munmap(mapped.cast(), 1) };
    let all = layer.everything();
    assert_eq!(again(&layer), all);
    assert!(all.iter().any(|(path, ..)| *path == layer.at("b/c/one")), "{all:?}");
}

fn map(file: &File) -> *mut u8 {
    use std::os::fd::AsRawFd;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: an address that the kernel chooses.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 1, rights, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

#[test]
fn a_new_name_elsewhere_of_a_file_of_the_image_is_a_doubt() {
    let layer = Layer::new();
    let first_look = FirstLook::new(&layer.walk(), own).unwrap().0.unwrap();
    fs::hard_link(layer.at("a/two"), layer.at("b/c/d/two")).unwrap();
    assert!(first_look.again(&layer.walk()).unwrap().is_err());
}

/// Something that a program does with names that it knows.
#[derive(Debug, Clone)]
enum Act {
    Write(String),
    Append(String),
    Mode(String),
    Remove(String),
    RemoveAll(String),
    Directory(String),
    Rename(String, String),
    Link(String, String),
    Symlink(String),
    Attribute(String),
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "one", "two", "new"]), 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        name().prop_map(Act::Write),
        name().prop_map(Act::Append),
        name().prop_map(Act::Mode),
        name().prop_map(Act::Remove),
        name().prop_map(Act::RemoveAll),
        name().prop_map(Act::Directory),
        (name(), name()).prop_map(|(from, to)| Act::Rename(from, to)),
        (name(), name()).prop_map(|(from, to)| Act::Link(from, to)),
        name().prop_map(Act::Symlink),
        name().prop_map(Act::Attribute),
    ]
}

/// Much of it fails, as there is no such file.
fn perform(layer: &Layer, act: &Act) {
    let at = |name: &String| layer.at(name);
    let _ = match act {
        Act::Write(name) => fs::write(at(name), "written"),
        Act::Append(name) => {
            File::options().append(true).open(at(name)).and_then(|mut file| file.write_all(b"x"))
        }
        Act::Mode(name) => fs::set_permissions(at(name), Permissions::from_mode(0o700)),
        Act::Remove(name) => fs::remove_file(at(name)),
        Act::RemoveAll(name) => fs::remove_dir_all(at(name)),
        Act::Directory(name) => fs::create_dir_all(at(name)),
        Act::Rename(from, to) => fs::rename(at(from), at(to)),
        Act::Link(from, to) => fs::hard_link(at(from), at(to)),
        Act::Symlink(name) => symlink("b/c", at(name)),
        Act::Attribute(name) => xattr::set(at(name), "user.x", b"1"),
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_program_does_is_seen_or_doubted(
        before in prop::collection::vec(act(), 0..6),
        meanwhile in prop::collection::vec(act(), 1..12),
    ) {
        let layer = Layer::new();
        before.iter().for_each(|act| perform(&layer, act));
        let first_look = FirstLook::new(&layer.walk(), own).unwrap().0.unwrap();
        meanwhile.iter().for_each(|act| perform(&layer, act));
        if let Ok(again) = first_look.again(&layer.walk()).unwrap() {
            prop_assert_eq!(told(again), layer.everything());
        }
    }
}
