//! Who may read: a pod about itself and the node that it runs on, and chosen users about all nodes. May import `base`.

mod claims;
mod keys;
mod known;
mod permission;
mod published;
mod questions;
mod review;
mod reviews;
#[cfg(test)]
mod signer;

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

pub use permission::{Identity, Permission, Refusal};
pub use reviews::Reviews;

/// Checks who asks.
pub struct Auth {
    reviews: Reviews,
    /// Users who may read all nodes.
    everywhere: BTreeSet<String>,
}

impl Auth {
    /// One that knows tokens by these reviews. `everywhere` may read all nodes.
    pub fn new(reviews: Reviews, everywhere: Vec<String>) -> Self {
        Self { reviews, everywhere: everywhere.into_iter().collect() }
    }

    /// Returns who sent `headers` from this address, if that may have this.
    ///
    /// # Errors
    /// It may not, or that cannot be found out.
    pub async fn check(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        permission: Permission<'_>,
    ) -> Result<Identity, Refusal> {
        let token = bearer(headers)?;
        let identity = self.reviews.identity(token, peer).await?;
        permission.given_to(&identity, self.everywhere.contains(&identity.user))?;
        Ok(identity)
    }
}

/// The token in `Authorization: Bearer …` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let header = headers.get(AUTHORIZATION).ok_or(Refusal::Missing)?;
    let text = header.to_str().map_err(|_| Refusal::NotBearer)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refusal::NotBearer)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(Refusal::NotBearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_bearer_token_is_found() {
        assert_eq!(bearer(&headers("Bearer a.b.c")).unwrap(), "a.b.c");
        assert_eq!(bearer(&headers("bearer  a.b.c")).unwrap(), "a.b.c");
    }

    #[test]
    fn anything_else_is_told_apart() {
        assert!(matches!(bearer(&HeaderMap::new()), Err(Refusal::Missing)));
        for other in ["Basic YTpi", "Bearer", "Bearer ", "a.b.c"] {
            assert!(matches!(bearer(&headers(other)), Err(Refusal::NotBearer)), "{other}");
        }
    }
}
