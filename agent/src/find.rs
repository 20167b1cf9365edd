//! Finds what a start may resume.

use crate::image_dir::{Generation, ImageDir, ImageDirError};

/// The rungs of the ladder: the committed generations, newest first, without those that an end has closed.
///
/// # Errors
/// The volume cannot be read, or the mark of an end not be understood.
pub fn rungs(dir: &ImageDir) -> Result<Vec<Generation>, ImageDirError> {
    let all = dir.list()?;
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

    #[test]
    fn what_ended_is_not_resumed_and_what_began_later_is() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        let commit = || {
            let generation = dir.next().unwrap();
            dir.clean_staging().unwrap();
            dir.commit(generation).unwrap();
        };
        commit();
        commit();
        assert_eq!(rungs(&dir).unwrap(), [Generation(2), Generation(1)]);
        dir.mark_ended("exit status 0").unwrap();
        assert!(rungs(&dir).unwrap().is_empty());
        commit();
        assert_eq!(rungs(&dir).unwrap(), [Generation(3)]);
    }
}
