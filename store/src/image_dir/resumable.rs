//! Finds what a start may resume.

use crate::image_dir::error::ImageDirError;
use crate::image_dir::{Generation, ImageDir};

/// The ladder: the committed generations of the main line, newest first, without those that an end has closed.
///
/// # Errors
/// The volume cannot be read, or the mark of an end or the lines of descent not be understood.
pub fn resumable(dir: &ImageDir) -> Result<Vec<Generation>, ImageDirError> {
    let lines = dir.lines()?;
    let all: Vec<Generation> =
        dir.list()?.into_iter().filter(|generation| lines.is_main(*generation)).collect();
    let Some(ended) = dir.ended()? else { return Ok(all) };
    let (open, closed): (Vec<_>, Vec<_>) = all.into_iter().partition(|generation| *generation > ended.newest);
    if let Some(newest) = closed.first() {
        tracing::info!(
            step = "find",
            "generations up to {newest} are not resumed: the work ended since ({})",
            ended.why
        );
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_dir::fixture::{commit, everywhere};

    #[test]
    fn what_ended_is_not_resumed_and_what_began_later_is() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            commit(&hold);
            let dir = hold.dir();
            assert_eq!(resumable(dir).unwrap(), [Generation(2), Generation(1)]);
            hold.mark_ended("exit status 0").unwrap();
            assert!(resumable(dir).unwrap().is_empty());
            commit(&hold);
            assert_eq!(resumable(dir).unwrap(), [Generation(3)]);
        });
    }
}
