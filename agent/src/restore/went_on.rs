//! A program that went on where it stood after a checkpoint that had stopped it: its manifest says that it did not, and cannot be changed any more.

use std::sync::Arc;

use crik_store::image_dir::Generation;
use crik_store::image_dir::attempts::{Attempt, AttemptError, OpenAttempt, settle};
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::pod::Pod;

/// Notes on the volume that the program of `pod` goes on after it was checkpointed as `generation`: as an attempt whose outcome nobody
/// has told, which each release takes for one after which the program may have run. It is settled, so it counts against nothing, and
/// proves nothing either. Blocks.
///
/// # Errors
/// The volume cannot be written, or another pod holds the image directory now.
pub fn note(hold: &Arc<Hold>, generation: Generation, pod: &Pod) -> Result<(), AttemptError> {
    drop(OpenAttempt::begin(hold, generation, pod, u32::MAX)?);
    Ok(settle(hold, generation)?)
}

/// Whether this is such a note.
pub fn is_noted(attempt: &Attempt) -> bool {
    attempt.outcome.is_none() && attempt.settled
}

#[cfg(test)]
mod tests {
    use crik_store::image_dir::attempts::{AttemptOutcome, Attempts};
    use crik_store::image_dir::fixture::everywhere;

    use super::*;

    const GENERATION: Generation = Generation(1);

    #[test]
    fn a_program_that_went_on_may_have_run_which_says_nothing_of_its_checkpoint() {
        everywhere(|place| {
            let hold = place.held();
            note(&hold, GENERATION, &Pod::default()).unwrap();
            let noted = Attempts::read(hold.dir(), GENERATION).unwrap();
            assert!(noted.attempts.iter().all(is_noted) && noted.attempts.len() == 1);
            assert!(noted.counted() == 0 && !noted.proven() && noted.last_failure().is_none());
        });
    }

    #[test]
    fn an_attempt_to_resume_is_no_such_note() {
        everywhere(|place| {
            let hold = place.held();
            let begin = || OpenAttempt::begin(&hold, GENERATION, &Pod::default(), 9).unwrap();
            drop(begin());
            begin().record(&AttemptOutcome::Unread("no answer".to_owned())).unwrap();
            begin().record(&AttemptOutcome::Resumed).unwrap();
            settle(&hold, GENERATION).unwrap();
            let attempts = Attempts::read(hold.dir(), GENERATION).unwrap().attempts;
            assert!(attempts.len() == 3 && !attempts.iter().any(is_noted));
        });
    }
}
