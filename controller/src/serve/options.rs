//! The part of the command line that says how to serve, and to whom.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::base::limits;

/// How to serve, and to whom.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How many polls may wait at a time; a further one is told to come again.
    #[arg(long, value_name = "N", default_value_t = limits::WAITING_POLLS, env = "CRIK_MAX_WAITING_POLLS",
          value_parser = clap::value_parser!(u32).range(1..=limits::WAITING_POLLS_MAX))]
    pub max_waiting_polls: u32,
    /// How many connections one address may have; further ones are answered with 503. Raise it where all pods come from one
    /// address, behind a NAT, a proxy or a service mesh's sidecar.
    #[arg(long, value_name = "N", default_value_t = limits::CONNECTIONS_PER_PEER,
          env = "CRIK_MAX_CONNECTIONS_PER_PEER",
          value_parser = clap::value_parser!(u32).range(1..=limits::WAITING_POLLS_MAX))]
    pub max_connections_per_peer: u32,
    /// How long to go on serving after a SIGTERM, from 0s to 10m: as long as names may still lead here. Whoever waits is sent away
    /// meanwhile, and /readyz is 503.
    #[arg(long, value_name = "DURATION", default_value = "0s", env = "CRIK_SHUTDOWN_DELAY",
          value_parser = shutdown_delay)]
    pub shutdown_delay: Duration,
    /// Who may read: everyone, or pods that show a token of their ServiceAccount, each about its own node.
    #[arg(long, value_enum, default_value_t = AuthKind::None, env = "CRIK_AUTH")]
    pub auth: AuthKind,
    /// The audience that tokens must be made for.
    #[arg(long, value_name = "AUDIENCE", default_value = "crik", env = "CRIK_AUDIENCE")]
    pub audience: String,
    /// Users who may read all nodes, the list and the stream of changes with --auth token, for example
    /// system:serviceaccount:monitoring:dashboard; separated by commas.
    #[arg(long, value_name = "USER", value_delimiter = ',', env = "CRIK_ALLOW_ALL_NODES_FOR")]
    pub allow_all_nodes_for: Vec<String>,
    /// How long a token that was found good is taken without asking again, from 1s to 1h. If the API server cannot be asked
    /// then, it is taken for an hour, unless it expires before.
    #[arg(long, value_name = "DURATION", default_value = "2m", env = "CRIK_TOKEN_TTL",
          value_parser = token_ttl)]
    pub token_ttl: Duration,
    /// PEM file of the certificate, followed by those that signed it; serves HTTPS. Re-read when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key_file", env = "CRIK_TLS_CERT_FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM file of the certificate's private key. Re-read when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", env = "CRIK_TLS_KEY_FILE")]
    pub tls_key_file: Option<PathBuf>,
}

impl Options {
    /// How many tokens are known at most.
    pub fn known_tokens(&self) -> u64 {
        u64::from(self.max_waiting_polls) * limits::TOKENS_PER_POLL
    }
}

/// Who may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthKind {
    /// Everyone who can reach the port.
    None,
    /// Who shows a ServiceAccount token that the API server finds good.
    Token,
}

/// # Errors
/// It is no duration, or out of bounds.
fn token_ttl(text: &str) -> Result<Duration, String> {
    duration(text, limits::TOKEN_TTL_MIN..=limits::TOKEN_TTL_MAX)
}

/// # Errors
/// It is no duration, or out of bounds.
fn shutdown_delay(text: &str) -> Result<Duration, String> {
    duration(text, Duration::ZERO..=limits::SHUTDOWN_DELAY_MAX)
}

fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if bounds.contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("must be from {:?} to {:?}", bounds.start(), bounds.end()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn each_poll_that_may_wait_has_room_for_its_token_and_for_the_one_that_takes_its_place() {
        for polls in [1, 20_000, 60_000] {
            let line = Line::parse_from(["crik-controller", "--max-waiting-polls", &polls.to_string()]);
            assert_eq!(line.options.known_tokens(), 2 * polls);
        }
    }

    #[test]
    fn a_token_is_trusted_for_a_second_at_least_and_an_hour_at_most() {
        for (text, seconds) in [("1s", 1), ("2m", 120), ("1h", 3600)] {
            assert_eq!(token_ttl(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["0s", "999ms", "61m", "1h 1ms", "-1s", "soon", ""] {
            assert!(token_ttl(text).is_err(), "{text}");
        }
    }
}
