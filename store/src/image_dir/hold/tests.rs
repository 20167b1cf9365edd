//! What a hold promises.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::ObjectStoreExt as _;

use super::*;
use crate::image_dir::fixture::{Place, bucket_of, commit, everywhere, make_later, wish};
use crate::image_dir::staging::{Purpose, Staging};
use crate::image_dir::{holder, layout};

fn holder_of(result: Result<Arc<Hold>, HoldError>) -> String {
    match result {
        Err(HoldError::Held(seen)) => seen.name(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_of_many_gets_it() {
    for _ in 0..20 {
        everywhere(|place| {
            let holds: Vec<_> = std::thread::scope(|scope| {
                let take = |n| Hold::take(&place.open(), &wish(&format!("job-{n}")));
                let pods: Vec<_> = (0..5).map(|n| scope.spawn(move || take(n))).collect();
                pods.into_iter().map(|pod| pod.join().unwrap()).collect()
            });
            assert_eq!(holds.iter().filter(|hold| hold.is_ok()).count(), 1, "{holds:?}");
        });
    }
}

#[test]
fn who_is_swept_while_it_prepares_begins_again() {
    everywhere(|place| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // As a holder does that has just taken the directory, but all the time.
            scope.spawn(|| {
                let dir = place.open();
                while !stop.load(Ordering::Relaxed) {
                    for entry in dir.backend().list(&holders()).unwrap() {
                        if entry.name.starts_with("new-") {
                            take_away(&dir, &holders().join(&entry.name), &Name::root()).unwrap();
                        }
                    }
                }
            });
            let dir = place.open();
            for _ in 0..200 {
                match Hold::take(&dir, &wish("job-0")) {
                    Ok(hold) => hold.release(),
                    Err(HoldError::Contended) => {}
                    Err(other) => {
                        stop.store(true, Ordering::Relaxed);
                        panic!("{other}");
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn what_is_given_back_can_be_taken() {
    everywhere(|place| {
        let first = place.held();
        assert_eq!(holder_of(Hold::take(first.dir(), &wish("job-1"))), "job-0");
        first.release();
        let second = Hold::take(first.dir(), &wish("job-1")).unwrap();
        assert_eq!(second.number, 2);
        assert_eq!(holder_of(Hold::take(first.dir(), &wish("job-0"))), "job-1");
    });
}

#[test]
fn the_same_container_takes_its_own_hold_over() {
    everywhere(|place| {
        let first = place.held();
        assert_eq!(Hold::take(first.dir(), &wish("job-0")).unwrap().number, 2);
    });
}

#[test]
fn who_was_passed_over_can_change_nothing_any_more() {
    everywhere(|place| {
        let old = place.held();
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
        assert!(
            new.dir().ended().unwrap().is_none() && new.dir().backend().look(&generation.attempts()).is_err()
        );
    });
}

#[test]
fn only_the_hold_that_expired_is_passed_over() {
    everywhere(|place| {
        let first = place.held();
        first.release();
        let _second = Hold::take(first.dir(), &wish("job-1")).unwrap();
        let late = Wish { expired: Some(1), ..wish("job-2") };
        assert_eq!(holder_of(Hold::take(first.dir(), &late)), "job-1");
    });
}

/// How many directories a hold has.
fn directories(hold: &Hold) -> usize {
    let listed = hold.dir().backend().list(hold.name()).unwrap();
    listed.iter().filter(|entry| entry.is_directory).count()
}

#[test]
fn what_a_former_holder_was_dumping_is_out_of_its_reach_at_once_and_removed_later() {
    everywhere(|place| {
        let old = place.held();
        let staging = Staging::new(&old, Purpose::Stop);
        // As a pod that is still at it.
        let dump = File::open(staging.make().unwrap()).ok();
        old.release();
        let new = Hold::take(old.dir(), &wish("job-1")).unwrap();
        assert_eq!(directories(&new), 1);
        assert!(old.dir().backend().look(old.name()).is_err());
        assert!(dump.is_none_or(|dump| dump.metadata().is_ok()));
        new.remove_left_overs().unwrap();
        assert_eq!(directories(&new), 0);
    });
}

#[test]
fn holds_of_which_none_had_the_time_to_remove_what_was_left_do_not_stand_in_the_way() {
    everywhere(|place| {
        let mut hold = place.held();
        let rounds = 100;
        for _ in 0..rounds {
            Staging::new(&hold, Purpose::Restore).make().unwrap();
            hold = Hold::take(hold.dir(), &wish("job-0")).unwrap();
        }
        assert_eq!(directories(&hold), rounds);
        hold.remove_left_overs().unwrap();
        assert_eq!(directories(&hold), 0);
    });
}

#[test]
fn a_hold_that_is_given_back_is_known_by_a_file_that_every_look_reads() {
    everywhere(|place| {
        let hold = place.held();
        hold.release();
        hold.dir().backend().remove(&hold.name().join(holder::RELEASED)).unwrap();
        assert!(newest(hold.dir()).unwrap().unwrap().released);
    });
}

#[test]
fn what_others_left_among_the_holds_is_no_obstacle_and_what_is_not_crik_s_stays() {
    everywhere(|place| {
        let dir = place.open();
        for left in ["new-left-behind", "probe-left-behind"] {
            dir.backend().make_all(&holders().join(left).join("x")).unwrap();
        }
        dir.backend().create(&holders().join("notes.txt"), b"?").unwrap();
        Hold::take(&dir, &wish("job-0")).unwrap();
        let mut left = dir.backend().list(&holders()).unwrap();
        left.sort();
        let names: Vec<&str> = left.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["00000001", "notes.txt"]);
    });
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
    everywhere(|place| {
        let dir = place.open();
        dir.backend().make(&names::hold(4)).unwrap();
        dir.backend().create(&names::hold(4).join(holder::HOLDER), &[0xff, 0]).unwrap();
        assert_eq!(holder_of(Hold::take(&dir, &wish("job-0"))), "an unknown pod");
        let expired = Wish { expired: Some(4), ..wish("job-0") };
        assert_eq!(Hold::take(&dir, &expired).unwrap().number, 5);
    });
}

/// One that is in the directory and that no generation needs.
fn needless_pack(dir: &ImageDir) {
    dir.backend().make_all(&ImageDir::packs()).unwrap();
    dir.backend().create(&ImageDir::packs().join("a"), b"pack").unwrap();
}

#[test]
fn a_list_of_packs_that_is_damaged_keeps_nothing_else_from_being_swept() {
    let inner = Arc::<object_store::memory::InMemory>::default();
    let hold = Place::Bucket(bucket_of(inner.clone())).held();
    needless_pack(hold.dir());
    let list = commit(&hold).directory().join(layout::PACK_LIST);
    hold.dir().backend().make(&list).unwrap();
    let waste = object_store::path::Path::from("checkpoints/job-0/blobs/00000000000000000000000000000007");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for sweep in [Hold::remove_left_overs, Hold::sweep_waste] {
        runtime.block_on(inner.put(&waste, vec![7_u8].into())).unwrap();
        let error = sweep(&hold).unwrap_err().to_string();
        assert!(error.contains(layout::PACK_LIST), "{error}");
        let left = runtime.block_on(inner.head(&waste));
        assert!(matches!(left, Err(object_store::Error::NotFound { .. })), "{left:?}");
    }
}

#[test]
fn that_packs_stay_for_a_later_release_is_told_once_with_the_remedy() {
    everywhere(|place| {
        let hold = place.held();
        needless_pack(hold.dir());
        make_later(hold.dir(), commit(&hold));
        for _ in 0..2 {
            hold.sweep_packs().unwrap();
            let told: Vec<String> = locked(&hold.warnings).iter().cloned().collect();
            assert!(matches!(&told[..], [told] if told.starts_with("generation 00000001 ")), "{told:?}");
            assert!(told[0].ends_with("use the newer crik, or its `crik gc`"), "{told:?}");
        }
    });
}
