//! Which addresses a registry may have. A cloud tells a node's secrets at a link-local address, and what listens on loopback listens
//! for its own machine; private addresses are what registries of one's own have.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

use super::error::LookupError;

/// Azure's own services for a machine, which is no private address.
const AZURE_WIRE_SERVER: [u8; 4] = [168, 63, 129, 16];
/// The same of Alibaba Cloud.
const ALIBABA_METADATA: [u8; 4] = [100, 100, 100, 200];
/// The same of AWS over IPv6.
const AWS_METADATA: [u16; 8] = [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254];

/// Whether a registry that nobody has named may be there.
pub fn may_be_asked(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let is_metadata = [AZURE_WIRE_SERVER, ALIBABA_METADATA].contains(&address.octets());
            let is_nowhere = address.is_unspecified() || address.is_broadcast() || address.octets()[0] == 0;
            let is_own = address.is_loopback() || address.is_link_local();
            !(is_own || is_metadata || is_nowhere || address.is_multicast())
        }
        IpAddr::V6(address) => {
            let is_own = address.is_loopback() || address.is_unicast_link_local();
            let is_metadata = address.segments() == AWS_METADATA;
            !(is_own || is_metadata || address.is_unspecified() || address.is_multicast())
        }
    }
}

/// Looks at an address that stands where a name could.
///
/// # Errors
/// It may not be asked.
pub fn check_literal(host: &str) -> Result<(), LookupError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if !may_be_asked(address) => Err(LookupError::Forbidden(address)),
        _ => Ok(()),
    }
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("{0} is an address of the node itself")]
pub struct Forbidden(pub IpAddr);

/// Resolves names, and leaves out addresses that may not be asked: what is connected to is what was looked at.
#[derive(Clone)]
pub struct Guarded(GaiResolver, Any);

/// Whether any address may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Any(pub bool);

impl Guarded {
    /// Of a registry.
    pub fn new(any: Any) -> Self {
        Self(GaiResolver::new(), any)
    }
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolved, Any(any)) = (self.0.call(name), self.1);
        Box::pin(async move {
            let all: Vec<SocketAddr> = resolved.await?.collect();
            let (good, bad): (Vec<_>, Vec<_>) = all.into_iter().partition(|at| any || may_be_asked(at.ip()));
            match (good.is_empty(), bad.first()) {
                (true, Some(at)) => Err(io::Error::other(Forbidden(at.ip()))),
                _ => Ok(good.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_node_keeps_its_secrets_no_registry_is_asked() {
        for address in [
            "127.0.0.1",
            "127.8.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "168.63.129.16",
            "100.100.100.200",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            assert!(!may_be_asked(address.parse().unwrap()), "{address}");
            assert!(check_literal(address).is_err() && check_literal(&format!("[{address}]")).is_err());
        }
    }

    #[test]
    fn a_registry_may_be_on_the_internet_or_on_a_network_of_ones_own() {
        for address in
            ["1.1.1.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "2606::1", "fd12::1"]
        {
            assert!(may_be_asked(address.parse().unwrap()), "{address}");
        }
        assert!(check_literal("registry.example").is_ok());
    }
}
