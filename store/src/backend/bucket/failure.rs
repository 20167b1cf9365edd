//! How a bucket refuses a request.

use std::io;
use std::time::Duration;

use object_store::Error;

use crate::base::limits;
use crate::base::retry::{Outlook, Unserved};

/// Why a request was not done, or its answer not had.
#[derive(Debug)]
pub enum Failure {
    /// There is no such object.
    Missing,
    /// It is another one than it was thought to be.
    Conflict,
    /// It is the same as before.
    Unchanged,
    /// Another reason.
    Unserved(Unserved),
}

impl Failure {
    /// No answer came in this time.
    pub fn silent(limit: Duration) -> Self {
        Self::Unserved(Unserved {
            told: format!("the bucket gave no answer within {} s", limit.as_secs_f64()),
            outlook: Outlook::MayPass,
        })
    }

    /// What cannot be done at all, for this reason.
    pub fn lasting(told: &str) -> Self {
        Self::Unserved(Unserved { told: told.to_owned(), outlook: Outlook::Lasting })
    }

    /// Why it will fail in the same way if it is made again.
    pub fn lasting_reason(&self) -> Option<&str> {
        match self {
            Self::Unserved(Unserved { outlook: Outlook::Lasting, told }) => Some(told),
            _ => None,
        }
    }

    /// Why the bucket does not let this be done, if it is that, and not what is wrong with each request: a clock, a region, or credentials.
    pub fn refusal(&self) -> Option<&str> {
        let told = self.lasting_reason()?;
        let is_refused = REFUSALS.iter().any(|words| told.contains(words));
        (is_refused && remedy(told).is_none()).then_some(told)
    }

    /// Whether the same request may work if it is made again, or be done already.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unserved(Unserved { outlook: Outlook::MayPass, .. }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let outlook = match &error {
            Error::NotFound { .. } => return Self::Missing,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => return Self::Conflict,
            Error::NotModified { .. } => return Self::Unchanged,
            Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. } => Outlook::Lasting,
            _ => Outlook::MayPass,
        };
        let said = error.to_string();
        match status(&said) {
            // There is less of it than was written.
            Some(416) => Self::Missing,
            Some(301 | 307 | 400 | 401 | 403 | 405 | 501) if !said.contains("<Code>RequestTimeout<") => {
                Self::Unserved(Unserved { told: without_details(&said), outlook: Outlook::Lasting })
            }
            None if is_refused(&said) => {
                Self::Unserved(Unserved { told: without_details(&said), outlook: Outlook::Lasting })
            }
            // Whom nobody vouches for now, nobody vouches for in a second: said at once, it can be mended.
            None if said.contains("invalid peer certificate") => {
                Self::Unserved(Unserved { told: said, outlook: Outlook::Lasting })
            }
            _ => Self::Unserved(Unserved { told: without_details(&said), outlook }),
        }
    }
}

/// Whether an answer that has no status of its own is one that stays: for an object among others that were to be removed, or of a bucket that
/// is elsewhere.
fn is_refused(said: &str) -> bool {
    ["(code: AccessDenied)", "redirect without LOCATION"].iter().any(|words| said.contains(words))
}

/// With which words who asks is told that this may not be done there.
const REFUSALS: [&str; 4] =
    ["AccessDenied", "403 Forbidden", "405 Method Not Allowed", "501 Not Implemented"];

/// What to do about a refusal, by a word of it (Amazon's list of error codes).
const REMEDIES: [(&str, &str); 7] = [
    ("RequestTimeTooSkewed", "the clock of this node is wrong: let it be set by NTP"),
    ("AuthorizationHeaderMalformed", "set AWS_REGION to the region of the bucket"),
    ("PermanentRedirect", "set AWS_REGION to the region of the bucket"),
    ("redirect without LOCATION", "set AWS_REGION to the region of the bucket"),
    (
        "ExpiredToken",
        "bring the container credentials that last: by a role of its ServiceAccount, or a file that is kept fresh",
    ),
    (
        "InvalidAccessKeyId",
        "look which credentials the container has; docs/buckets.md has the order in which they count",
    ),
    (
        "SignatureDoesNotMatch",
        "look which credentials the container has; docs/buckets.md has the order in which they count",
    ),
];

fn remedy(told: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(word, _)| told.contains(word)).map(|(_, remedy)| *remedy)
}

/// The status of the answer, by the words of the client.
fn status(said: &str) -> Option<u16> {
    said.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

/// Without what the answer has besides its code and its message: what was signed, tokens among it, and many names.
fn without_details(said: &str) -> String {
    let (told, answer) = said.split_once('<').unwrap_or((said, ""));
    let part = |name: &str| {
        let (_, rest) = said.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(part, _)| part.trim().to_owned())
    };
    let mut told = told.trim_end().trim_end_matches(':').to_owned();
    if !answer.is_empty() {
        let parts: Vec<String> = ["Code", "Message"].into_iter().filter_map(part).collect();
        told += &format!(": {}", parts.join(", "));
    }
    let end = told.char_indices().nth(limits::SAID_BY_A_BUCKET).map_or(told.len(), |(end, _)| end);
    told.truncate(end);
    remedy(&told).map_or(told.clone(), |remedy| format!("{told}; {remedy}"))
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing => Self::new(
                io::ErrorKind::InvalidData,
                "an object of the image directory is missing, or cut short",
            ),
            Failure::Conflict | Failure::Unchanged => Self::other("the bucket contradicts itself"),
            Failure::Unserved(unserved) => Self::other(unserved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: &str, body: &str) -> Failure {
        let text = format!(
            "Error performing PUT http://s3/b/names in 3ms - Server returned non-2xx status code: {status}: {body}"
        );
        Error::Generic { store: "S3", source: text.into() }.into()
    }

    #[test]
    fn what_was_signed_is_not_told() {
        let body = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>The request signature</Message>\
                    <StringToSign>x-amz-security-token:SECRET</StringToSign></Error>";
        let Failure::Unserved(unserved) = failed("403 Forbidden", body) else { panic!("no reason") };
        assert!(
            unserved.told.contains("403 Forbidden: SignatureDoesNotMatch, The request signature; look which"),
            "{}",
            unserved.told
        );
        let Failure::Unserved(unserved) = failed("500 Error", &"x".repeat(9999)) else { panic!("no reason") };
        assert_eq!(unserved.told.len(), limits::SAID_BY_A_BUCKET);
    }

    #[test]
    fn a_refusal_of_which_the_remedy_is_known_is_told_with_it() {
        let told = |failure: Failure| failure.lasting_reason().unwrap().to_owned();
        let skewed = failed(
            "403 Forbidden",
            "<Code>RequestTimeTooSkewed</Code><Message>The difference is too large</Message>",
        );
        assert!(
            told(skewed).ends_with(
                "The difference is too large; the clock of this node is wrong: let it be set by NTP"
            )
        );
        let elsewhere =
            "Received redirect without LOCATION, this normally indicates an incorrectly configured region";
        let elsewhere: Failure = Error::Generic { store: "S3", source: elsewhere.into() }.into();
        assert!(told(elsewhere).ends_with("; set AWS_REGION to the region of the bucket"));
        let one_of_many = "DeleteObjects request failed for key a/b: Access Denied (code: AccessDenied)";
        let one_of_many: Failure = Error::Generic { store: "S3", source: one_of_many.into() }.into();
        assert!(told(one_of_many).contains("Access Denied"));
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        for (status, code, may_pass) in [
            ("503 Slow Down", "SlowDown", true),
            ("400 Bad Request", "RequestTimeout", true),
            ("400 Bad Request", "ExpiredToken", false),
            ("301 Moved Permanently", "PermanentRedirect", false),
            ("403 Forbidden", "AccessDenied", false),
            ("416 Range Not Satisfiable", "InvalidRange", false),
            ("501 Not Implemented", "NotImplemented", false),
            ("405 Method Not Allowed", "MethodNotAllowed", false),
            ("429 Too Many Requests", "SlowDown", true),
        ] {
            assert_eq!(failed(status, &format!("<Code>{code}</Code>")).may_pass(), may_pass, "{code}");
        }
        assert!(matches!(failed("416 Range Not Satisfiable", ""), Failure::Missing));
        let unknown = "error sending request: invalid peer certificate: UnknownIssuer";
        let unknown: Failure = Error::Generic { store: "S3", source: unknown.into() }.into();
        assert!(!unknown.may_pass());
    }
}
