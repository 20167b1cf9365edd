//! What a token says of itself. Not verified here: the signature says whether the API server has made it, and the API server
//! whether its pod is still there. This tells what cannot be good, so that neither is looked at.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::base::limits;

use super::permission::{Identity, OwnPod, Refusal};

/// The claims of a projected ServiceAccount token.
#[derive(Debug, Deserialize)]
pub struct Claims {
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    sub: Option<String>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

/// Kubernetes' own (k8s.io/kubernetes/pkg/serviceaccount, `privateClaims`).
#[derive(Debug, Deserialize)]
struct Kubernetes {
    namespace: Option<String>,
    pod: Option<Reference>,
    node: Option<Reference>,
}

/// An object that the token is bound to.
#[derive(Debug, Deserialize)]
struct Reference {
    name: String,
    uid: Option<String>,
}

/// One audience or several (RFC 7519, section 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Whose a token is by its own word, and when it expires (RFC 7519, section 4.1.4).
///
/// # Errors
/// It is no projected ServiceAccount token, or is for another audience, or has expired.
pub fn identity(token: &str, audience: &str, now: SystemTime) -> Result<Identity, Refusal> {
    let claims = read(token).ok_or_else(|| {
        Refusal::Invalid("it is no ServiceAccount token with an audience and an expiry".to_owned())
    })?;
    let meant = match &claims.aud {
        Audience::One(one) => one == audience,
        Audience::Several(several) => several.iter().any(|one| one == audience),
    };
    if !meant {
        return Err(Refusal::Invalid(format!("it was not made for the audience {audience:?}")));
    }
    let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp));
    let expires =
        expires.ok_or_else(|| Refusal::Invalid(format!("it says that it expires at {}", claims.exp)))?;
    if expires <= now {
        return Err(Refusal::Expired);
    }
    if SystemTime::UNIX_EPOCH + Duration::from_secs(claims.nbf.min(claims.exp)) > now + limits::CLOCK_SKEW {
        return Err(Refusal::Invalid("it is not good yet; is the clock of this machine right?".to_owned()));
    }
    Ok(claims.identity(expires))
}

impl Claims {
    fn identity(self, expires: SystemTime) -> Identity {
        let bound = self.kubernetes;
        let (namespace, pod, node) =
            bound.map_or((None, None, None), |bound| (bound.namespace, bound.pod, bound.node));
        let pod = namespace
            .zip(pod)
            .and_then(|(namespace, pod)| Some(OwnPod { namespace, name: pod.name, uid: pod.uid? }));
        let user = self.sub.unwrap_or_default();
        Identity { user, node: node.map(|node| node.name), pod, expires }
    }
}

/// The claims of a signed token: a header, claims and a signature (RFC 7515, section 3.1).
fn read(token: &str) -> Option<Claims> {
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, claims, signature] = parts.as_slice() else { return None };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty());
    decode(header)?;
    decode(signature)?;
    serde_json::from_slice(&decode(claims)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRES: u64 = 1_795_000_000;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn expiry(token: &str, audience: &str, now: SystemTime) -> Result<SystemTime, Refusal> {
        identity(token, audience, now).map(|identity| identity.expires)
    }

    #[test]
    fn a_token_names_its_user_its_pod_and_its_node() {
        let bound = r#"{"namespace":"ns","pod":{"name":"job-0","uid":"u1"},"node":{"name":"a","uid":"n1"},"serviceaccount":{"name":"app","uid":"s"}}"#;
        let token = token(&format!(
            r#"{{"aud":["crik"],"exp":{EXPIRES},"sub":"system:serviceaccount:ns:app","kubernetes.io":{bound}}}"#
        ));
        let found = identity(&token, "crik", at(0)).unwrap();
        let pod = OwnPod { namespace: "ns".to_owned(), name: "job-0".to_owned(), uid: "u1".to_owned() };
        assert_eq!((found.node.as_deref(), found.pod), (Some("a"), Some(pod)));
        assert_eq!(found.user, "system:serviceaccount:ns:app");
    }

    #[test]
    fn a_token_of_the_future_is_not_good_yet() {
        let begins = EXPIRES - 1000;
        let token = token(&format!(r#"{{"aud":["crik"],"exp":{EXPIRES},"nbf":{begins}}}"#));
        assert!(expiry(&token, "crik", at(begins - 1)).is_ok(), "clocks differ a little");
        assert!(matches!(expiry(&token, "crik", at(begins - 600)), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn the_expiry_is_read_from_a_token_for_the_audience() {
        for audience in [r#""crik""#, r#"["crik"]"#, r#"["other","crik"]"#] {
            let token = token(&format!(r#"{{"aud":{audience},"exp":{EXPIRES}}}"#));
            assert_eq!(expiry(&token, "crik", at(EXPIRES - 1)), Ok(at(EXPIRES)));
            assert_eq!(expiry(&token, "crik", at(EXPIRES)), Err(Refusal::Expired));
        }
    }

    #[test]
    fn a_token_for_another_audience_is_told_so() {
        for audience in [r#""other""#, r#"["other","crik2"]"#, "[]"] {
            let token = token(&format!(r#"{{"aud":{audience},"exp":{EXPIRES}}}"#));
            let refusal = expiry(&token, "crik", at(0)).unwrap_err();
            assert!(matches!(&refusal, Refusal::Invalid(why) if why.contains("\"crik\"")), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = token(&format!(r#"{{"aud":["crik"],"exp":{EXPIRES}}}"#));
        assert!(expiry(&good, "crik", at(0)).is_ok());
        let (unsigned, twice) = (good.trim_end_matches("c2ln").to_owned(), format!("{good}.c2ln"));
        let endless = token(r#"{"aud":["crik"]}"#);
        let everyones = token(&format!(r#"{{"exp":{EXPIRES}}}"#));
        let huge = token(&format!(r#"{{"aud":["crik"],"exp":{}}}"#, u64::MAX));
        for bad in
            ["", "a", "a.b.c", "e30.e30.e30", "e30.!!.c2ln", &unsigned, &twice, &endless, &everyones, &huge]
        {
            let refusal = expiry(bad, "crik", at(0)).unwrap_err();
            assert!(matches!(refusal, Refusal::Invalid(_)), "{bad}: {refusal}");
        }
    }
}
