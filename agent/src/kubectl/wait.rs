//! Waits for what the cluster does in its own time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::client::KubectlError;
use super::progress::Progress;
use crate::base::limits;

/// What a look shows.
#[derive(Debug)]
pub enum Look<T> {
    /// What is waited for.
    There(T),
    /// Not yet; what is missing.
    Waits(String),
}

/// Looks until what is waited for is there. An API server that is away for a while, as during an upgrade, is waited for too.
///
/// # Errors
/// It does not come in this time, or a look fails for good.
pub fn wait_for<T>(
    progress: &Progress,
    timeout: Duration,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<T> {
    let (began, mut answered) = (Instant::now(), Instant::now());
    loop {
        let waits = match look() {
            Ok(Look::There(there)) => return Ok(there),
            Ok(Look::Waits(what)) => {
                answered = Instant::now();
                what
            }
            Err(error) if may_pass(&error) && answered.elapsed() < limits::KUBECTL_OUTAGE => {
                error.to_string()
            }
            Err(error) => return Err(error),
        };
        if began.elapsed() >= timeout {
            bail!("waited for {}; the last that was seen: {waits}", humantime::format_duration(timeout));
        }
        progress.waits(&waits);
        sleep(limits::KUBECTL_POLL);
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<KubectlError>().is_some_and(KubectlError::may_pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> anyhow::Error {
        KubectlError::Failed { asked: "get pods".to_owned(), said: "connection refused".to_owned() }.into()
    }

    #[test]
    fn an_api_server_that_is_away_for_a_moment_is_waited_for() {
        let mut answers = vec![Ok(Look::There(7)), Err(failed()), Ok(Look::Waits("a node".to_owned()))];
        let seen = wait_for(&Progress::new(), Duration::from_secs(60), || answers.pop().unwrap());
        assert_eq!(seen.unwrap(), 7);
    }

    #[test]
    fn what_does_not_come_is_told_with_what_is_missing() {
        let look = || Ok(Look::<()>::Waits("a node".to_owned()));
        let why = wait_for(&Progress::new(), Duration::ZERO, look).unwrap_err().to_string();
        assert_eq!(why, "waited for 0s; the last that was seen: a node");
    }

    #[test]
    fn what_fails_for_good_is_not_waited_for() {
        let look = || -> Result<Look<()>> { bail!("it began anew") };
        let why = wait_for(&Progress::new(), Duration::from_secs(60), look).unwrap_err().to_string();
        assert_eq!(why, "it began anew");
    }
}
