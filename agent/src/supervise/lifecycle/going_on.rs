//! Before a program goes on where a checkpoint has stopped it, the volume has to know: what it writes from then on is cut if that
//! checkpoint is resumed.

use std::sync::Arc;

use crik_store::image_dir::attempts::AttemptError;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::pod::Pod;
use crik_store::image_dir::{Generation, ImageDirError};
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use crate::base::limits;
use crate::restore::went_on;

/// Why it was not noted.
#[derive(Debug, Error)]
enum NotNoted {
    #[error(transparent)]
    Attempt(#[from] AttemptError),
    #[error("internal error: {0}")]
    Broken(#[from] JoinError),
    #[error("the volume does not answer within {:.0?}", limits::GOES_ON_PATIENCE)]
    NoAnswer,
}

impl NotNoted {
    fn is_lost(&self) -> bool {
        matches!(self, Self::Attempt(AttemptError::Volume(ImageDirError::Lost(_))))
    }
}

/// Whether the program of `pod`, which stands still after it was checkpointed as `generation`, may go on here. It may not if another pod
/// has taken the image directory over, which goes on with the same work.
pub async fn may_go_on(hold: &Arc<Hold>, generation: Generation, pod: &Pod) -> bool {
    let noted = note(hold, generation, pod).await;
    if hold.is_lost() || noted.as_ref().is_err_and(NotNoted::is_lost) {
        tracing::error!(
            step = "move",
            "the application ends, since another pod has taken the image directory over and goes on with the work"
        );
        return false;
    }
    if let Err(why) = noted {
        tracing::warn!(
            step = "move",
            "it cannot be noted that the application goes on after generation {generation}; if that one is resumed, what is appended to \
             files until then stands there twice: {why}"
        );
    }
    true
}

async fn note(hold: &Arc<Hold>, generation: Generation, pod: &Pod) -> Result<(), NotNoted> {
    let (hold, pod) = (Arc::clone(hold), pod.clone());
    let noting = spawn_blocking(move || went_on::note(&hold, generation, &pod));
    let noted = timeout(limits::GOES_ON_PATIENCE, noting).await;
    Ok(noted.map_err(|_| NotNoted::NoAnswer)???)
}

#[cfg(test)]
mod tests {
    use crik_store::image_dir::attempts::Attempts;
    use crik_store::image_dir::fixture::{everywhere, wish};
    use crik_store::image_dir::hold::Wish;
    use tokio::runtime::Builder;

    use super::*;

    fn asked(hold: &Arc<Hold>) -> bool {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(may_go_on(hold, Generation(1), &Pod::default()))
    }

    #[test]
    fn a_program_goes_on_when_the_volume_knows_and_not_where_another_pod_has_its_work() {
        everywhere(|place| {
            let hold = place.held();
            assert!(asked(&hold));
            let noted = Attempts::read(hold.dir(), Generation(1)).unwrap().attempts;
            assert!(noted.len() == 1 && noted.iter().all(went_on::is_noted), "{noted:?}");
            let expired = Wish { expired: Some(1), ..wish("job-1") };
            let other = Hold::take(hold.dir(), &expired).unwrap();
            assert!(!asked(&hold));
            let noted = Attempts::read(other.dir(), Generation(1)).unwrap().attempts;
            assert_eq!(noted.len(), 1, "who has lost it writes nothing");
        });
    }
}
