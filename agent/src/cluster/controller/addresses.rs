//! The addresses of the controller's replicas.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use tokio::net::lookup_host;

use crate::base::limits;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::unknown::Unknown;

/// All addresses that the controller's name has, beginning with a random one, so that agents spread over the replicas.
///
/// # Errors
/// It has none, or the resolver does not say.
pub async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Unknown> {
    let (host, port) = endpoint.host_and_port();
    let unresolved = |source| Unknown::Unresolved { host: host.clone(), source };
    let mut found: Vec<SocketAddr> = lookup_host((&*host, port)).await.map_err(unresolved)?.collect();
    // The resolver names an address once for each kind of socket.
    let mut seen = std::collections::HashSet::new();
    found.retain(|address| seen.insert(*address));
    if found.is_empty() {
        return Err(unresolved(std::io::ErrorKind::NotFound.into()));
    }
    let begin = usize::try_from(random() % found.len() as u64).unwrap_or_default();
    found.rotate_left(begin);
    found.truncate(limits::ADDRESSES_MAX);
    Ok(found)
}

/// Any number. The standard library seeds its maps at random, which is random enough to spread load.
pub fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Access;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new(Access { url: url.to_owned(), ..Access::default() }, Some("a"), None).unwrap()
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let found = resolve(&endpoint("http://[::1]:9376")).await.unwrap();
        assert_eq!(found, ["[::1]:9376".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_named() {
        let error = resolve(&endpoint("http://crik-controller.invalid:9376")).await.unwrap_err();
        assert!(error.to_string().contains("crik-controller.invalid has no address"), "{error}");
    }
}
