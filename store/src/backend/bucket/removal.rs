//! Removes objects, and remembers if the bucket does not let that be done: who may write there may not always remove, and then the bucket
//! grows without anything else that fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectStore};

use crate::backend::bucket::failure::Failure;
use crate::backend::bucket::in_turn::in_turn;
use crate::base::panics::locked;

/// Why nothing can be removed, as long as that is so.
#[derive(Debug, Default)]
pub struct Removal(Mutex<Option<String>>);

impl Removal {
    /// Why not, if it is known that nothing can be.
    pub fn refusal(&self) -> Option<String> {
        locked(&self.0).clone()
    }

    /// Notes what came of removing objects below `prefix`, with the remedy if that is refused.
    pub fn note(&self, removed: Result<(), Failure>, prefix: &Path) -> Result<(), Failure> {
        let failure = match removed {
            Ok(()) => {
                *locked(&self.0) = None;
                return Ok(());
            }
            Err(failure) => failure,
        };
        // Of a bucket that cannot be reached, or in which nothing can be done, this is not known.
        let Some(reason) = failure.refusal() else { return Err(failure) };
        let told = format!(
            "the bucket does not let objects be removed ({reason}), so that what is superfluous stays there and is paid for; allow \
             s3:DeleteObject on {prefix}/*, or give the role Storage Blob Data Contributor in Azure"
        );
        Err(Failure::lasting(locked(&self.0).get_or_insert(told)))
    }
}

/// Removes these objects, each of whose answers may take so long. That one is not there any more is no error.
///
/// # Errors
/// One of them is left.
pub async fn remove(
    store: Arc<dyn ObjectStore>,
    paths: Vec<Path>,
    limit: Duration,
) -> object_store::Result<()> {
    let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
    let mut removed = in_turn(limit, store.delete_stream(paths));
    while let Some(removed) = removed.next().await {
        match removed {
            Err(Error::NotFound { .. }) | Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is noted and told when an answer has these words.
    fn noted(answer: &str) -> (Option<String>, String) {
        let (removal, prefix) = (Removal::default(), Path::from("checkpoints/job-0"));
        let error = Error::Generic { store: "S3", source: answer.to_owned().into() };
        let told = removal.note(Err(error.into()), &prefix).unwrap_err();
        assert!(!told.may_pass());
        (removal.refusal(), told.lasting_reason().unwrap().to_owned())
    }

    fn answer(status: &str, code: &str) -> String {
        format!("Server returned non-2xx status code: {status}: <Code>{code}</Code><Message>No</Message>")
    }

    #[test]
    fn who_may_not_remove_is_told_which_right_is_missing() {
        for refused in [
            answer("403 Forbidden", "AccessDenied"),
            answer("405 Method Not Allowed", "MethodNotAllowed"),
            answer("501 Not Implemented", "NotImplemented"),
            "DeleteObjects request failed for key a/b: Access Denied (code: AccessDenied)".to_owned(),
        ] {
            let (refusal, told) = noted(&refused);
            assert!(told.contains("allow s3:DeleteObject on checkpoints/job-0/*"), "{told}");
            assert_eq!(refusal, Some(told));
        }
    }

    #[test]
    fn what_lasts_for_another_reason_is_told_with_that() {
        for (refused, remedy) in [
            (answer("403 Forbidden", "RequestTimeTooSkewed"), "let it be set by NTP"),
            (answer("403 Forbidden", "SignatureDoesNotMatch"), "look which credentials"),
            (answer("400 Bad Request", "ExpiredToken"), "bring the container credentials"),
            (answer("301 Moved Permanently", "PermanentRedirect"), "set AWS_REGION"),
            ("error sending request: invalid peer certificate: UnknownIssuer".to_owned(), "UnknownIssuer"),
        ] {
            let (refusal, told) = noted(&refused);
            assert!(told.contains(remedy) && !told.contains("s3:DeleteObject"), "{told}");
            assert_eq!(refusal, None);
        }
    }
}
