//! Which generations are given up, and which are never.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use super::*;
use crate::image_dir::attempts::{AttemptOutcome, OpenAttempt};
use crate::image_dir::fixture::{commit, everywhere, held, make_later};
use crate::image_dir::layout;
use crate::image_dir::pod::Pod;

/// All that is given up, one after the other.
fn all_given_up(hold: &Hold, past: Past) -> Vec<u64> {
    std::iter::from_fn(|| give_up_oldest(hold, past).unwrap()).map(|generation| generation.0).collect()
}

#[test]
fn the_newest_and_the_proven_are_never_given_up() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..4 {
            commit(&hold);
        }
        assert_eq!(all_given_up(&hold, Past::Resumed(Generation(2))), [1, 3]);
        assert_eq!(hold.dir().list().unwrap(), [Generation(4), Generation(2)]);
    });
}

#[test]
fn nothing_is_removed_for_a_checkpoint_that_was_given_up() {
    let (_volume, hold) = held();
    let _three = [commit(&hold), commit(&hold), commit(&hold)];
    let headway = Headway::default();
    headway.give_up();
    // More than is free, and little enough to be tried.
    let image = free(hold.dir().root()).unwrap() / 2 * 3;
    let past = Past::Resumed(Generation(3));
    assert!(matches!(make_room(&hold, image, past, &headway), Err(RoomError::GivenUp)));
    assert_eq!(hold.dir().list().unwrap().len(), 3);
}

#[test]
fn what_somebody_else_has_removed_is_removed() {
    everywhere(|place| {
        let hold = place.held();
        let generations: Vec<Generation> = (0..20).map(|_| commit(&hold)).collect();
        let remove_all = || generations.iter().try_for_each(|generation| hold.remove(*generation));
        std::thread::scope(|scope| {
            let both = [scope.spawn(remove_all), scope.spawn(remove_all)];
            both.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
        assert!(hold.dir().list().unwrap().is_empty());
    });
}

#[test]
fn what_an_end_has_closed_is_given_up_whole() {
    everywhere(|place| {
        let hold = place.held();
        commit(&hold);
        hold.mark_ended("exit status 0").unwrap();
        make_room(&hold, 0, Past::Fresh(None), &Headway::default()).unwrap();
        assert_eq!(hold.dir().list().unwrap().len(), 1);
        assert_eq!(all_given_up(&hold, Past::Fresh(None)), [1]);
    });
}

#[test]
fn a_fresh_start_gives_up_nothing_that_may_work_elsewhere() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..5 {
            commit(&hold);
        }
        assert_eq!(all_given_up(&hold, Past::Fresh(None)), [0; 0]);
        assert_eq!(all_given_up(&hold, Past::Fresh(Some(Generation(4)))), [4]);
    });
}

#[test]
fn nothing_is_given_up_where_all_of_it_would_not_be_enough() {
    let (_volume, hold) = held();
    for _ in 0..3 {
        commit(&hold);
    }
    let error = make_room(&hold, u64::MAX / 2, Past::Resumed(Generation(3)), &Headway::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains(" free and the checkpoint needs about "), "{error}");
    assert_eq!(hold.dir().list().unwrap().len(), 3);
}

#[test]
fn what_can_be_given_up_is_no_lack_and_is_not_given_up_for_the_question() {
    let (_volume, hold) = held();
    let oldest = commit(&hold);
    commit(&hold);
    let ballast = hold.dir().generation(oldest).join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    fs::File::open(&ballast).unwrap().sync_all().unwrap();
    let lacks = |image, past| lacking(&hold, image, past).unwrap().is_some();
    assert!(!lacks(0, Past::Fresh(None)) && lacks(u64::MAX / 2, Past::Fresh(None)));
    // So much more than is free that only the oldest one makes up for it; others use the disk meanwhile, by less than half of it.
    let makes_up = |past| {
        let image = free(hold.dir().root()).unwrap() - limits::IMAGE_OVERHEAD_BYTES + (1 << 19);
        !lacks(image, past)
    };
    let again = |wanted, past| (0..100).any(|_| makes_up(past) == wanted);
    assert!(again(true, Past::Resumed(Generation(2))));
    assert!(again(false, Past::Fresh(None)));
    assert_eq!(hold.dir().list().unwrap().len(), 2);
}

#[test]
fn what_is_not_free_yet_counts_as_free() {
    let mut volume = FreeSpace::new(10);
    volume.gave_up(30, 10);
    assert_eq!(volume.bytes(), 40);
    // Others may have removed something too.
    volume.gave_up(5, 100);
    assert_eq!(volume.bytes(), 100);
}

/// Lets a generation have this account of attempts.
fn attempted(hold: &Arc<Hold>, generation: u64, outcomes: &[AttemptOutcome]) {
    for outcome in outcomes {
        let attempt = OpenAttempt::begin(hold, Generation(generation), &Pod::default(), 99).unwrap();
        attempt.record(outcome).unwrap();
    }
}

#[test]
fn what_was_only_interrupted_is_never_given_up() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..5 {
            commit(&hold);
        }
        attempted(&hold, 2, &[AttemptOutcome::Interrupted, AttemptOutcome::Interrupted]);
        attempted(&hold, 3, &[AttemptOutcome::Interrupted, AttemptOutcome::Failed("no luck".to_owned())]);
        retain(&hold, Past::Resumed(Generation(1)), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [5, 2, 1].map(Generation));
    });
}

fn found(hold: &Hold, keep: usize, good: &[u64]) -> Vec<u64> {
    let found = superfluous(hold.dir(), keep, |generation| Ok(good.contains(&generation.0))).unwrap();
    found.into_iter().map(|(generation, _)| generation.0).collect()
}

#[test]
fn a_person_removes_only_what_is_older_than_enough_good_ones() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..5 {
            commit(&hold);
        }
        assert_eq!(found(&hold, 2, &[5, 4, 3, 2, 1]), [3, 2, 1]);
        assert_eq!(found(&hold, 2, &[5, 3, 2]), [2, 1]);
        assert_eq!(found(&hold, 2, &[1]), [0; 0]);
        attempted(&hold, 2, &[AttemptOutcome::Resumed]);
        assert_eq!(found(&hold, 2, &[5, 4, 3, 2, 1]), [3, 1]);
        hold.mark_ended("exit status 0").unwrap();
        assert_eq!(found(&hold, 2, &[5, 4, 3, 2, 1]), [5, 4, 3, 2, 1]);
    });
}

#[test]
fn the_newest_are_kept_and_the_one_that_works() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..5 {
            commit(&hold);
        }
        retain(&hold, Past::Resumed(Generation(3)), 2).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [5, 4, 3].map(Generation));
        retain(&hold, Past::Resumed(Generation(5)), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [Generation(5)]);
    });
}

#[test]
fn a_fresh_start_proves_nothing_against_what_was_there_before() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..6 {
            commit(&hold);
        }
        retain(&hold, Past::Fresh(None), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap().len(), 6);
        retain(&hold, Past::Fresh(Some(Generation(4))), 2).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [6, 5, 3, 2, 1].map(Generation));
    });
}

#[test]
fn what_an_end_has_closed_is_superfluous_after_a_fresh_start() {
    everywhere(|place| {
        let hold = place.held();
        commit(&hold);
        hold.mark_ended("exit status 0").unwrap();
        for _ in 0..3 {
            commit(&hold);
        }
        retain(&hold, Past::Fresh(Some(Generation(3))), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [4, 2].map(Generation));
    });
}

#[test]
fn what_cannot_be_read_is_spared_and_keeps_no_other_from_being_given_up() {
    let (_volume, hold) = held();
    for _ in 0..4 {
        commit(&hold);
    }
    // Nobody can open it, root neither (ENXIO, open(2)).
    let manifest = hold.dir().generation(Generation(2)).join(layout::MANIFEST);
    let _socket = UnixListener::bind(manifest).unwrap();
    assert!(hold.dir().is_of_a_later_release(Generation(2)).is_err());
    let past = Past::Resumed(Generation(4));
    assert_eq!(give_up_oldest(&hold, past).unwrap(), Some(Generation(1)));
    assert_eq!(found(&hold, 1, &[4]), [3]);
    retain(&hold, past, 1).unwrap();
    assert_eq!(hold.dir().list().unwrap(), [4, 2].map(Generation));
}

#[test]
fn packs_are_no_room_that_could_be_made_as_long_as_what_a_later_release_made_keeps_them() {
    everywhere(|place| {
        let hold = place.held();
        let (first, later, dir) = (commit(&hold), commit(&hold), hold.dir());
        let pack = ImageDir::packs().join("a");
        dir.backend().make_all(&ImageDir::packs()).unwrap();
        dir.backend().create(&pack, &[7; 9000]).unwrap();
        dir.backend().create(&first.directory().join(layout::PACK_LIST), b"a").unwrap();
        let bytes = |generations: &[Generation]| {
            let sized = sized(&hold, generations.to_vec()).unwrap();
            sized.into_iter().find(|(generation, _)| *generation == first).unwrap().1
        };
        let with_pack = bytes(&[first]);
        make_later(dir, later);
        assert_eq!(with_pack - bytes(&[first]), dir.stored(&pack).unwrap());
        // It frees them when it goes too.
        assert_eq!(bytes(&[later, first]), with_pack);
    });
}
