//! Which pod this is for the cluster: its namespace and its name.

use std::path::Path;
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::base::limits;
use crate::cluster::controller::token;
use crate::cluster::pod::PodUnknown;

/// A pod's name in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What tells it from others of its name, if that is known.
    pub uid: Option<String>,
}

impl PodName {
    /// This pod's: as the token says that the controller is shown, which is the pod that it may ask for; otherwise as the
    /// downward API does, and without that by the ServiceAccount's files and the host name, which the kubelet makes from them.
    ///
    /// # Errors
    /// Nothing tells the namespace.
    pub fn learn(token: Option<&Path>, host: &str, uid: Option<&str>) -> Result<Self, PodUnknown> {
        let of_token = token.and_then(|path| bound_to(&token::read(path).ok()?));
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let file = || fs::read_to_string(limits::POD_NAMESPACE_FILE).ok();
        let uid = uid.map(str::to_owned);
        if let Some((namespace, name)) = of_token {
            return Ok(Self { namespace, name, uid });
        }
        let namespace = variable(limits::POD_NAMESPACE_VARIABLE).or_else(file);
        let namespace = namespace.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let name = variable(limits::POD_NAME_VARIABLE).unwrap_or_else(|| host.to_owned());
        Ok(Self { namespace: namespace.ok_or(PodUnknown::NoName)?, name, uid })
    }
}

/// What a token of the kubelet's says of the pod that it is bound to (KEP-1205). Not verified: the controller does that.
#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Bound,
}

#[derive(Deserialize)]
struct Bound {
    namespace: String,
    pod: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// The namespace and the name of the pod that a token is bound to.
fn bound_to(token: &str) -> Option<(String, String)> {
    let claims = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    let Bound { namespace, pod } = serde_json::from_slice::<Claims>(&claims).ok()?.kubernetes;
    Some((namespace, pod.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_the_pod_that_it_is_bound_to() {
        let token = |claims: &str| format!("e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(claims));
        let bound = r#"{"aud":["crik"],"kubernetes.io":{"namespace":"ns","pod":{"name":"job-0","uid":"u"}}}"#;
        assert_eq!(bound_to(&token(bound)), Some(("ns".to_owned(), "job-0".to_owned())));
        for other in [r#"{"kubernetes.io":{"namespace":"ns"}}"#, "{}", "nonsense"] {
            assert_eq!(bound_to(&token(other)), None, "{other}");
        }
        assert_eq!(bound_to("no token"), None);
    }
}
