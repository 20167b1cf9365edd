//! What a hold promises.

use std::fs;

use super::*;
use crate::image_dir::fixture::{commit, held, wish};
use crate::image_dir::holder;
use crate::image_dir::staging::{Purpose, Staging};

fn holder_of(result: Result<Arc<Hold>, HoldError>) -> String {
    match result {
        Err(HoldError::Held(seen)) => seen.name(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_of_many_gets_it() {
    let volume = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let dir = ImageDir::open(&volume.path().join(round.to_string())).unwrap();
        let holds: Vec<_> = std::thread::scope(|scope| {
            let pods: Vec<_> = (0..5)
                .map(|n| {
                    let dir = &dir;
                    scope.spawn(move || Hold::take(dir, &wish(&format!("job-{n}"))))
                })
                .collect();
            pods.into_iter().map(|pod| pod.join().unwrap()).collect()
        });
        assert_eq!(holds.iter().filter(|hold| hold.is_ok()).count(), 1, "{holds:?}");
    }
}

#[test]
fn who_is_swept_while_it_prepares_begins_again() {
    let volume = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(volume.path()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // As a holder does that has just taken the directory, but all the time.
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for entry in dir.backend().list(&holders()).unwrap() {
                    if entry.name.starts_with("new-") {
                        take_away(&dir, &holders().join(&entry.name), &Name::root()).unwrap();
                    }
                }
            }
        });
        for _ in 0..200 {
            match Hold::take(&dir, &wish("job-0")) {
                Ok(hold) => hold.release(),
                Err(HoldError::Contended) => {}
                Err(other) => {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("{other}");
                }
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn what_is_given_back_can_be_taken() {
    let (_volume, first) = held();
    assert_eq!(holder_of(Hold::take(first.dir(), &wish("job-1"))), "job-0");
    first.release();
    let second = Hold::take(first.dir(), &wish("job-1")).unwrap();
    assert_eq!(second.number, 2);
    assert_eq!(holder_of(Hold::take(first.dir(), &wish("job-0"))), "job-1");
}

#[test]
fn the_same_container_takes_its_own_hold_over() {
    let (_volume, first) = held();
    assert_eq!(Hold::take(first.dir(), &wish("job-0")).unwrap().number, 2);
}

#[test]
fn who_was_passed_over_can_change_nothing_any_more() {
    let (_volume, old) = held();
    let generation = commit(&old);
    let staging = Staging::new(&old, Purpose::Stop);
    staging.make().unwrap();
    let expired = Wish { expired: Some(1), ..wish("job-1") };
    let new = Hold::take(old.dir(), &expired).unwrap();
    let refused = [
        staging.commit(generation.next().unwrap()),
        old.remove(generation),
        old.mark_ended("too late"),
        old.put(&generation.attempts(), b"{}"),
        staging.make().map(drop),
    ];
    for outcome in refused {
        let error = outcome.unwrap_err().to_string();
        assert!(error.starts_with("the image directory is held by job-1 now"), "{error}");
    }
    assert_eq!(new.dir().list().unwrap(), [generation]);
    assert!(new.dir().ended().unwrap().is_none() && !new.dir().path_of(&generation.attempts()).exists());
}

#[test]
fn only_the_hold_that_expired_is_passed_over() {
    let (_volume, first) = held();
    first.release();
    let _second = Hold::take(first.dir(), &wish("job-1")).unwrap();
    let late = Wish { expired: Some(1), ..wish("job-2") };
    assert_eq!(holder_of(Hold::take(first.dir(), &late)), "job-1");
}

#[test]
fn what_a_former_holder_was_dumping_is_out_of_its_reach_at_once_and_removed_later() {
    let (_volume, old) = held();
    let staging = Staging::new(&old, Purpose::Stop);
    let dump = File::open(staging.make().unwrap()).unwrap();
    old.release();
    let new = Hold::take(old.dir(), &wish("job-1")).unwrap();
    let left = || {
        fs::read_dir(new.path()).unwrap().flatten().filter(|one| one.file_type().unwrap().is_dir()).count()
    };
    assert_eq!(left(), 1);
    assert!(!old.path().exists() && dump.metadata().is_ok());
    new.remove_left_overs().unwrap();
    assert_eq!(left(), 0);
}

#[test]
fn holds_of_which_none_had_the_time_to_remove_what_was_left_do_not_stand_in_the_way() {
    let (_volume, mut hold) = held();
    let rounds = 100;
    for _ in 0..rounds {
        Staging::new(&hold, Purpose::Restore).make().unwrap();
        hold = Hold::take(hold.dir(), &wish("job-0")).unwrap();
    }
    let left = || fs::read_dir(hold.path()).unwrap().flatten().filter(|one| one.path().is_dir()).count();
    assert_eq!(left(), rounds);
    hold.remove_left_overs().unwrap();
    assert_eq!(left(), 0);
}

#[test]
fn a_hold_that_is_given_back_is_known_by_a_file_that_every_look_reads() {
    let (_volume, hold) = held();
    hold.release();
    fs::remove_file(hold.path().join(holder::RELEASED)).unwrap();
    assert!(newest(hold.dir()).unwrap().unwrap().released);
}

#[test]
fn what_others_left_among_the_holds_is_no_obstacle_and_what_is_not_crik_s_stays() {
    let volume = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(volume.path()).unwrap();
    for left in ["new-left-behind/x", "probe-left-behind/x"] {
        fs::create_dir_all(dir.path_of(&holders()).join(left)).unwrap();
    }
    fs::write(dir.path_of(&holders()).join("notes.txt"), "?").unwrap();
    Hold::take(&dir, &wish("job-0")).unwrap();
    assert_eq!(fs::read_dir(dir.path_of(&holders())).unwrap().count(), 2);
    assert!(dir.path_of(&holders()).join("notes.txt").exists());
}

#[test]
fn a_volume_that_cannot_rename_directories_is_no_volume_that_others_take() {
    let volume = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(volume.path()).unwrap();
    // As good as one that refuses: a file in the place of the hold.
    let refused = |error: io::Error| is_taken(&error);
    let onto = |name: &str, make: &dyn Fn(&Path)| {
        let (from, to) = (dir.path_of(&holders()).join("new-x"), dir.path_of(&holders()).join(name));
        fs::create_dir_all(&from).unwrap();
        make(&to);
        fs::rename(from, to).unwrap_err()
    };
    assert!(refused(onto("full", &|to| fs::create_dir_all(to.join("x")).unwrap())));
    assert!(!refused(onto("file", &|to| fs::write(to, "x").unwrap())));
    for errno in [libc::ENOTSUP, libc::ENOSYS, libc::EPERM, libc::EMFILE, libc::EIO] {
        assert!(!refused(io::Error::from_raw_os_error(errno)), "{errno}");
    }
}

#[test]
fn a_hold_that_cannot_be_understood_counts_until_it_expires() {
    let volume = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(volume.path()).unwrap();
    fs::create_dir_all(dir.path_of(&names::hold(4))).unwrap();
    fs::write(dir.path_of(&names::hold(4)).join(holder::HOLDER), [0xff, 0]).unwrap();
    assert_eq!(holder_of(Hold::take(&dir, &wish("job-0"))), "an unknown pod");
    let expired = Wish { expired: Some(4), ..wish("job-0") };
    assert_eq!(Hold::take(&dir, &expired).unwrap().number, 5);
}
