//! ServiceAccount tokens that the API server would not give: with any times in them.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use super::ControlPlane;
use super::tokens::Account;

/// The length of each half of an ES256 signature (RFC 7518, section 3.4).
const HALF: usize = 32;

impl ControlPlane {
    /// A token for the audience `crik`, bound to a pod, as the API server makes them, that expires at this time.
    ///
    /// # Errors
    /// An object is not there.
    pub fn token_until(&self, account: Account<'_>, pod: &str, expires: SystemTime) -> Result<String> {
        let base = format!("/api/v1/namespaces/{}", account.namespace);
        let holder = self.api().get(&format!("{base}/serviceaccounts/{}", account.name))?;
        let pod = self.api().get(&format!("{base}/pods/{pod}"))?;
        let node = pod["spec"]["nodeName"].as_str().context("the pod has no node")?;
        let node = self.api().get(&format!("/api/v1/nodes/{node}"))?;
        let reference =
            |object: &Value| json!({"name": object["metadata"]["name"], "uid": object["metadata"]["uid"]});
        let seconds =
            |time: SystemTime| Ok::<_, anyhow::Error>(time.duration_since(SystemTime::UNIX_EPOCH)?.as_secs());
        let begun = seconds(expires - Duration::from_secs(3600))?;
        let claims = json!({
            "iss": "https://kubernetes.default.svc",
            "aud": ["crik"],
            "sub": format!("system:serviceaccount:{}:{}", account.namespace, account.name),
            "exp": seconds(expires)?, "iat": begun, "nbf": begun,
            "kubernetes.io": {
                "namespace": account.namespace,
                "serviceaccount": reference(&holder),
                "pod": reference(&pod),
                "node": reference(&node),
            },
        });
        self.sign(&claims)
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT"})), part(claims));
        let key = KeyPair::from_pem(&fs::read_to_string(self.certificates().path("accounts.key"))?)?;
        let signature = halves(&key.sign(signed.as_bytes())?).context("a signature of another form")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The two numbers of an ECDSA signature in DER (RFC 3279, section 2.2.3), each at its full length.
fn halves(der: &[u8]) -> Option<Vec<u8>> {
    let mut rest = der.get(2..)?;
    let mut signature = Vec::new();
    for _ in 0..2 {
        let length = usize::from(*rest.get(1)?);
        let number = rest.get(2..2 + length)?;
        let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        signature.extend(std::iter::repeat_n(0, HALF.checked_sub(number.len())?));
        signature.extend(number);
        rest = &rest[2 + length..];
    }
    Some(signature)
}
