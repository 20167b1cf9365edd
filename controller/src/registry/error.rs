//! Why it is not known what an image starts, in words short enough for a warning.

use std::time::Duration;

use thiserror::Error;

/// Why a lookup has failed.
#[derive(Debug, Error, PartialEq)]
pub enum LookupError {
    /// The name cannot be read.
    #[error("its name cannot be read")]
    Name,
    /// Too many are on their way.
    #[error("too many other images are being looked up")]
    Busy,
    /// The registry has not answered yet.
    #[error("its registry takes longer than {0:?}")]
    Slow(Duration),
    /// Its address is one of this node's or of its network's.
    #[error("its registry is at {0}, an address of the node itself; see inject.registries")]
    Forbidden(std::net::IpAddr),
    /// There is no connection.
    #[error("its registry cannot be reached: {0}")]
    Unreachable(String),
    /// It wants to be asked without TLS, or what is asked for elsewhere.
    #[error("its registry leads to an address without TLS")]
    Plain,
    /// It leads from one address to the next.
    #[error("its registry leads in circles")]
    Redirects,
    /// It wants to know who asks.
    #[error("its registry shows it to nobody without a password; see inject.pullSecrets")]
    Unauthorized,
    /// It has something else to say.
    #[error("its registry answers {0}")]
    Status(u16),
    /// It says more than there can be to say.
    #[error("its registry says more than {0} bytes")]
    TooLarge(usize),
    /// It says what nobody understands.
    #[error("its registry says what is no {0}")]
    Malformed(&'static str),
    /// What it says is not what was asked for.
    #[error("its registry has another {0} than the digest says")]
    Altered(&'static str),
    /// There is none for the pod's nodes.
    #[error("it has no image for {0}")]
    NoPlatform(String),
    /// Each architecture's image starts something else, and the pod does not say which it is for.
    #[error("it starts something else on each architecture, and the pod names none")]
    Disagreement,
}
