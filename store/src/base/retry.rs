//! Errors of the volume that may pass: a server that fails over must not cost the work of days.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::base::limits;

/// What an error lets one expect of another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The same again.
    Lasting,
    /// The volume may be well again by then.
    MayPass,
    /// The volume, or a quota on it, is full, so that something has to go first.
    NoRoom,
    /// It does not say its reason, and the volume may be that.
    Unexplained,
}

/// An error that knows what another try would bring.
pub trait HasOutlook {
    /// What to expect of another try.
    fn outlook(&self) -> Outlook;

    /// Whether it says only that the volume could not be read or written, and nothing of what is on it.
    fn is_of_the_volume(&self) -> bool {
        false
    }
}

/// Errors of the kernel after which the same may work: the server or the way to it is away (errno(3)).
const MAY_PASS: [i32; 7] = [
    libc::EIO,
    libc::ESTALE,
    libc::ETIMEDOUT,
    libc::ECONNRESET,
    libc::ENOTCONN,
    libc::EHOSTUNREACH,
    libc::EAGAIN,
];

/// Those that say that there is no room, also where statvfs(3) says that there is.
const NO_ROOM: [i32; 2] = [libc::ENOSPC, libc::EDQUOT];

/// Errors of the kernel that say what is there, or that it is not (errno(3)). All others say that it could not be looked at: the
/// server is away, nobody may read it, or it cannot be written.
const OF_WHAT_IS_THERE: [i32; 9] = [
    libc::ENOENT,
    libc::ENOTDIR,
    libc::EISDIR,
    libc::ELOOP,
    libc::EEXIST,
    libc::ENOTEMPTY,
    libc::EINVAL,
    libc::ENAMETOOLONG,
    libc::EXDEV,
];

/// What a server said that is no kernel, and has no number for it.
#[derive(Debug, Clone, Error)]
#[error("{told}")]
pub struct Unserved {
    /// In its words.
    pub told: String,
    /// What to expect of another try.
    pub outlook: Outlook,
}

impl Unserved {
    /// An error of the program's own as one of input and output, with what it lets one expect.
    pub fn told_by(error: &(impl Display + HasOutlook)) -> io::Error {
        io::Error::other(Self { told: error.to_string(), outlook: error.outlook() })
    }

    fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl HasOutlook for io::Error {
    fn outlook(&self) -> Outlook {
        match self.raw_os_error() {
            Some(code) if NO_ROOM.contains(&code) => Outlook::NoRoom,
            Some(code) if MAY_PASS.contains(&code) => Outlook::MayPass,
            _ => Unserved::of(self).map_or(Outlook::Lasting, |unserved| unserved.outlook),
        }
    }

    fn is_of_the_volume(&self) -> bool {
        Unserved::of(self).is_some()
            || self.raw_os_error().is_some_and(|code| !OF_WHAT_IS_THERE.contains(&code))
    }
}

/// The outlook of another program's message, which has the C library's words for the error in place of its number
/// (strerror(3)).
pub fn outlook_of_message(message: &str) -> Outlook {
    let words = |code: i32| io::Error::from_raw_os_error(code).to_string();
    let known = |code: &i32| message.contains(words(*code).trim_end_matches(&format!(" (os error {code})")));
    if NO_ROOM.iter().any(known) {
        Outlook::NoRoom
    } else if MAY_PASS.iter().any(known) {
        Outlook::MayPass
    } else {
        Outlook::Unexplained
    }
}

/// How long something is tried again.
#[derive(Debug)]
pub struct Retries {
    limit: Duration,
    /// Whether a failure that does not say its reason is worth another try, once.
    trust_once_more: bool,
    first: Option<Instant>,
    pause: Duration,
}

impl Retries {
    /// For at most `limit` from the first failure on.
    pub fn new(limit: Duration) -> Self {
        Self { limit, trust_once_more: false, first: None, pause: limits::HOLD_POLL }
    }

    /// For a restore: one that fails for the second time costs some seconds, and a good generation that is passed over costs
    /// the work of days.
    pub fn of_a_restore(limit: Duration) -> Self {
        Self { trust_once_more: true, ..Self::new(limit) }
    }

    /// For a stop: a dump that is tried in vain costs less than one that was not tried.
    pub fn of_a_stop() -> Self {
        Self { trust_once_more: true, ..Self::new(limits::STOP_RETRIES) }
    }

    /// How long to wait before it is tried again after a failure for this `reason`; none if it is not worth while.
    pub fn pause(&mut self, outlook: Outlook, reason: &dyn Display) -> Option<Duration> {
        let (pause, waited) = (self.pause, self.first.get_or_insert_with(Instant::now).elapsed());
        let worth = match outlook {
            Outlook::Lasting => false,
            // Others use the volume too, and may make room.
            Outlook::MayPass | Outlook::NoRoom => true,
            Outlook::Unexplained => std::mem::take(&mut self.trust_once_more),
        };
        if !worth || waited + pause > self.limit {
            return None;
        }
        tracing::warn!("trying again: {reason}");
        self.pause = (pause * 2).min(limits::RETRY_PAUSE_MAX);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_worth_another_try() {
        let of = |code| io::Error::from_raw_os_error(code).outlook();
        assert_eq!([of(libc::EIO), of(libc::ESTALE)], [Outlook::MayPass; 2]);
        assert_eq!([of(libc::ENOSPC), of(libc::EDQUOT)], [Outlook::NoRoom; 2]);
        assert_eq!([of(libc::EROFS), of(libc::ENOENT)], [Outlook::Lasting; 2]);
        assert_eq!(io::Error::other("Input/output error, as somebody says").outlook(), Outlook::Lasting);
    }

    #[test]
    fn what_is_not_there_is_known_and_what_cannot_be_read_is_not() {
        let of = |code| io::Error::from_raw_os_error(code).is_of_the_volume();
        assert_eq!([libc::EIO, libc::ESTALE, libc::ENOSPC, libc::EROFS, libc::EACCES].map(of), [true; 5]);
        assert_eq!([libc::ENOENT, libc::ELOOP].map(of), [false; 2]);
        assert!(!io::Error::other("it is damaged").is_of_the_volume());
    }

    #[test]
    fn a_server_s_error_is_of_the_volume_and_has_its_own_outlook() {
        for outlook in [Outlook::MayPass, Outlook::Lasting] {
            let error = io::Error::other(Unserved { told: "503 Slow Down".to_owned(), outlook });
            assert_eq!((error.outlook(), error.is_of_the_volume()), (outlook, true));
        }
    }

    #[test]
    fn a_message_of_another_program_is_read_for_its_reason() {
        assert_eq!(outlook_of_message("Can't write to pages-1.img: Input/output error"), Outlook::MayPass);
        assert_eq!(outlook_of_message("Unable to spice data: No space left on device"), Outlook::NoRoom);
        assert_eq!(outlook_of_message("Can't write header: Disk quota exceeded"), Outlook::NoRoom);
        assert_eq!(outlook_of_message("Can't open parent path"), Outlook::Unexplained);
    }

    #[test]
    fn what_is_not_explained_is_worth_one_more_try() {
        let mut new = Retries::new(Duration::from_secs(9));
        assert_eq!(new.pause(Outlook::Unexplained, &"no luck"), None);
        let mut retries = Retries::of_a_restore(Duration::from_secs(9));
        assert!(retries.pause(Outlook::Unexplained, &"no luck").is_some());
        assert_eq!(retries.pause(Outlook::Unexplained, &"no luck"), None);
        assert!(retries.pause(Outlook::MayPass, &"no room").is_some());
    }
}
