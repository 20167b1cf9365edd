//! What becomes of a report that was not taken. Pure.

use std::time::Duration;

use crate::base::limits;
use crate::cluster::controller::unknown::Unknown;

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is sent again after this pause, or as soon as there is one more if nobody has asked for the pause.
    Again {
        /// How long.
        pause: Duration,
        /// Whether the controller has asked for it.
        is_asked_for: bool,
    },
    /// It can be read by nobody, and is given up.
    Dropped,
    /// None is taken, and it is asked again after a long while.
    Refused,
}

/// How it went so far.
#[derive(Debug, Default)]
pub struct Outlook {
    /// The last pause.
    pause: Option<Duration>,
    /// How often in a row the token was not believed.
    unbelieved: u32,
    /// What was told a person last.
    told: Option<u16>,
}

impl Outlook {
    /// One was taken.
    pub fn is_taken(&mut self) {
        *self = Self::default();
    }

    /// One was not, for this reason.
    pub fn after(&mut self, failure: &Unknown) -> Next {
        let Unknown::Refused(refusal) = failure else { return self.again(None) };
        match refusal.status.as_u16() {
            400 | 413 => Next::Dropped,
            // The kubelet may have replaced the token between two looks at its file, which is read anew each time.
            401 if self.unbelieved == 0 => {
                self.unbelieved += 1;
                self.again(None)
            }
            401 | 403 | 404 | 405 => Next::Refused,
            _ => self.again(refusal.retry_after),
        }
    }

    fn again(&mut self, asked: Option<Duration>) -> Next {
        let (first, longest) = limits::REPORT_BACKOFF;
        let pause = self.pause.map_or(first, |pause| longest.min(pause * 2));
        self.pause = Some(pause);
        Next::Again { pause: pause.max(asked.unwrap_or_default()), is_asked_for: asked.is_some() }
    }

    /// Whether a person was not told of this yet since the last one was taken.
    pub fn is_news(&mut self, failure: &Unknown) -> bool {
        let Unknown::Refused(refusal) = failure else { return false };
        let status = refusal.status.as_u16();
        self.told.replace(status) != Some(status)
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::cluster::controller::unknown::Refusal;

    fn refused(status: u16, retry_after: Option<u64>) -> Unknown {
        let (status, said) = (StatusCode::from_u16(status).unwrap(), String::new());
        let retry_after = retry_after.map(Duration::from_secs);
        Unknown::Refused(Refusal { status, said, retry_after, with_token: true })
    }

    fn pause(next: Next) -> Duration {
        let Next::Again { pause, .. } = next else { panic!("{next:?}") };
        pause
    }

    #[test]
    fn who_is_away_or_busy_is_tried_again_ever_more_seldom() {
        let (first, longest) = limits::REPORT_BACKOFF;
        let mut outlook = Outlook::default();
        let away = || Unknown::Unreachable("refused".to_owned());
        assert_eq!(pause(outlook.after(&away())), first);
        assert_eq!(pause(outlook.after(&refused(500, None))), first * 2);
        for _ in 0..20 {
            outlook.after(&away());
        }
        assert_eq!(pause(outlook.after(&away())), longest);
        outlook.is_taken();
        assert_eq!(pause(outlook.after(&away())), first);
    }

    #[test]
    fn a_controller_that_wants_to_be_left_alone_is() {
        for status in [429, 503] {
            let next = Outlook::default().after(&refused(status, Some(7)));
            assert_eq!(next, Next::Again { pause: Duration::from_secs(7), is_asked_for: true });
        }
    }

    #[test]
    fn what_cannot_be_read_is_dropped_and_who_takes_none_is_left_alone() {
        for (status, next) in [
            (400, Next::Dropped),
            (413, Next::Dropped),
            (403, Next::Refused),
            (404, Next::Refused),
            (405, Next::Refused),
        ] {
            assert_eq!(Outlook::default().after(&refused(status, None)), next, "{status}");
        }
    }

    #[test]
    fn a_token_that_is_not_believed_is_read_once_more() {
        let mut outlook = Outlook::default();
        assert!(matches!(outlook.after(&refused(401, None)), Next::Again { .. }));
        assert_eq!(outlook.after(&refused(401, None)), Next::Refused);
        outlook.is_taken();
        assert!(matches!(outlook.after(&refused(401, None)), Next::Again { .. }));
    }

    #[test]
    fn a_person_is_told_once_until_one_is_taken() {
        let mut outlook = Outlook::default();
        assert!(outlook.is_news(&refused(403, None)) && !outlook.is_news(&refused(403, None)));
        assert!(outlook.is_news(&refused(404, None)));
        assert!(!outlook.is_news(&Unknown::Unreachable("refused".to_owned())));
        outlook.is_taken();
        assert!(outlook.is_news(&refused(404, None)));
    }
}
