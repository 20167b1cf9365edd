//! The signals by which a container's runtime may ask for a stop: an image's STOPSIGNAL, or `lifecycle.stopSignal` of a pod.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::base::limits;

/// Their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopSignals(pub BTreeSet<i32>);

/// Those of images that many use: nginx and PHP, PostgreSQL, Apache, HAProxy, systemd.
impl Default for StopSignals {
    fn default() -> Self {
        let named = [libc::SIGTERM, libc::SIGQUIT, libc::SIGINT, libc::SIGWINCH, libc::SIGUSR1];
        Self(named.into_iter().chain([limits::FIRST_REAL_TIME_SIGNAL + 3]).collect())
    }
}

impl<'de> Deserialize<'de> for StopSignals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let numbers = words.iter().map(|word| number(word).map_err(D::Error::custom));
        // It is always one.
        numbers.chain([Ok(libc::SIGTERM)]).collect::<Result<_, _>>().map(Self)
    }
}

/// As an image's STOPSIGNAL may be written: `SIGQUIT`, `QUIT`, `SIGRTMIN+3`, `3`.
fn number(word: &str) -> Result<i32, String> {
    let name = word.strip_prefix("SIG").unwrap_or(word);
    let number = name.parse().ok().or_else(|| real_time(name)).or_else(|| named(name));
    match number.filter(|number| (1..=limits::LAST_SIGNAL).contains(number)) {
        None => Err(format!("{word:?} is no signal such as SIGQUIT or SIGRTMIN+3")),
        Some(libc::SIGKILL | libc::SIGSTOP | libc::SIGCHLD) => Err(format!(
            "{word} asks nobody for a stop: no program sees SIGKILL and SIGSTOP, and SIGCHLD tells of children"
        )),
        Some(number) => Ok(number),
    }
}

fn named(name: &str) -> Option<i32> {
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

fn real_time(name: &str) -> Option<i32> {
    let by = |rest: &str| if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() };
    let first = name.strip_prefix("RTMIN").and_then(by).map(|by| limits::FIRST_REAL_TIME_SIGNAL + by);
    first.or_else(|| name.strip_prefix("RTMAX").and_then(by).map(|by| limits::LAST_SIGNAL + by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_images_name_them() {
        let all = ["SIGQUIT", "QUIT", "3", "SIGRTMIN+3", "RTMIN+3", "SIGRTMAX-1", "SIGRTMIN", "SIGWINCH"]
            .map(number);
        assert_eq!(all.map(Result::unwrap), [3, 3, 3, 37, 37, 63, 34, 28]);
        for wrong in ["SIGSTOPP", "sigquit", "0", "65", "SIGRTMIN+99", "-1", ""] {
            assert!(number(wrong).unwrap_err().contains("is no signal"), "{wrong}");
        }
        for unseen in ["SIGKILL", "STOP", "9", "SIGCHLD"] {
            assert!(number(unseen).unwrap_err().contains("asks nobody for a stop"), "{unseen}");
        }
    }

    #[test]
    fn a_sigterm_is_always_one() {
        let read = |text| serde_yaml::from_str::<StopSignals>(text).unwrap().0;
        assert_eq!(read("[]"), [15].into());
        assert_eq!(read("[SIGHUP]"), [1, 15].into());
        assert!(StopSignals::default().0.contains(&15));
    }
}
