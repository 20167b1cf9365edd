//! Which attempts to resume count, and which do not.

use super::*;
use crate::image_dir::fixture::{everywhere, wish};

fn take(hold: &Arc<Hold>, max: u32) -> Result<OpenAttempt, AttemptError> {
    OpenAttempt::begin(hold, Generation(1), &wish("job-0").pod, max)
}

#[test]
fn an_attempt_counts_even_if_nobody_lived_to_tell() {
    everywhere(|place| {
        let hold = place.held();
        drop(take(&hold, 2).unwrap());
        take(&hold, 2).unwrap().record(&AttemptOutcome::Failed("criu failed: no luck".to_owned())).unwrap();
        assert_eq!(
            take(&hold, 2).unwrap_err().to_string(),
            "it was resumed 2 times (maxRestores), the last time by job-0: criu failed: no luck"
        );
    });
}

#[test]
fn only_the_last_attempt_tells_what_is_wrong() {
    everywhere(|place| {
        let hold = place.held();
        let failed = AttemptOutcome::Failed("no luck".to_owned());
        let mut told = Vec::new();
        for outcome in [
            AttemptOutcome::Resumed,
            failed.clone(),
            AttemptOutcome::Interrupted,
            failed,
            AttemptOutcome::Resumed,
        ] {
            take(&hold, 9).unwrap().record(&outcome).unwrap();
            let attempts = Attempts::read(hold.dir(), Generation(1)).unwrap();
            told.push(attempts.last_failure().map(str::to_owned));
        }
        let luck = || Some("no luck".to_owned());
        assert_eq!(told, [None, luck(), None, luck(), None]);
    });
}

#[test]
fn an_attempt_after_which_the_tree_ran_for_long_does_not_count() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..3 {
            take(&hold, 1).unwrap().record(&AttemptOutcome::Resumed).unwrap();
            settle(&hold, Generation(1)).unwrap();
        }
        take(&hold, 1).unwrap().record(&AttemptOutcome::Resumed).unwrap();
        assert!(take(&hold, 1).is_err());
        settle(&hold, Generation(7)).unwrap();
    });
}

#[test]
fn attempts_that_are_cut_off_again_and_again_end_and_say_why() {
    everywhere(|place| {
        let hold = place.held();
        let most = limits::INTERRUPTIONS_FREE + 3;
        for _ in 0..most {
            take(&hold, 3).unwrap().record(&AttemptOutcome::Interrupted).unwrap();
        }
        let error = take(&hold, 3).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{most} times in a row")) && error.contains("startupProbe"),
            "{error}"
        );
    });
}

#[test]
fn one_that_works_shows_that_it_is_not_always_cut_off() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..limits::INTERRUPTIONS_FREE {
            take(&hold, 2).unwrap().record(&AttemptOutcome::Interrupted).unwrap();
        }
        take(&hold, 2).unwrap().record(&AttemptOutcome::Resumed).unwrap();
        for _ in 0..limits::INTERRUPTIONS_FREE {
            take(&hold, 2).unwrap().record(&AttemptOutcome::Interrupted).unwrap();
        }
        assert!(take(&hold, 2).is_ok());
    });
}

#[test]
fn an_attempt_that_a_sigterm_cut_off_does_not_count() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..3 {
            take(&hold, 1).unwrap().record(&AttemptOutcome::Interrupted).unwrap();
        }
        drop(take(&hold, 1).unwrap());
        assert!(take(&hold, 1).is_err());
    });
}

#[test]
fn a_damaged_account_is_no_obstacle() {
    everywhere(|place| {
        let hold = place.held();
        hold.dir().backend().create(&Generation(1).attempts(), b"{").unwrap();
        assert!(take(&hold, 1).is_ok());
    });
}

#[test]
fn a_volume_that_was_away_is_not_the_generations_fault() {
    everywhere(|place| {
        let hold = place.held();
        for _ in 0..5 {
            take(&hold, 1).unwrap().record(&AttemptOutcome::Unread("Stale file handle".to_owned())).unwrap();
        }
        let attempts = Attempts::read(hold.dir(), Generation(1)).unwrap();
        assert_eq!((attempts.counted(), attempts.last_failure()), (0, Some("Stale file handle")));
    });
}
