//! An error with its causes, for a person.

/// An error and what it comes from, in one line. What an error's own message already ends with is not said again: most of
/// ours name their cause, as an I/O error needs its path.
pub fn whole_story(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot create /checkpoints/d-0: {source}")]
    struct Named {
        source: io::Error,
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::Error::from(Named { source: io::Error::from_raw_os_error(13) });
        assert_eq!(
            whole_story(&error.context("cannot start")),
            "cannot start: cannot create /checkpoints/d-0: Permission denied (os error 13)"
        );
    }

    #[test]
    fn a_cause_that_is_not_named_is_added() {
        let error = Err::<(), _>(io::Error::other("no route")).context("cannot ask").unwrap_err();
        assert_eq!(whole_story(&error), "cannot ask: no route");
    }
}
