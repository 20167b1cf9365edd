//! The keys by which the API server signs tokens, as it publishes them (OpenID Connect Discovery 1.0; Kubernetes KEP-1393), and what a
//! signature says by itself. The cryptography is ring's, which TLS is built on here too; what is left of the format is a header
//! and three parts in base64, and the crate for it (`jsonwebtoken`) has brought a second library of cryptography since its version 10.
//!
//! Which issuer a token names is not compared: these keys are the API server's own, asked of itself, so whatever they have signed is
//! its; and where it has several names (`--service-account-issuer` may be given more than once, to change it) it publishes one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;

/// What the API server publishes at `/openid/v1/jwks` (RFC 7517, section 5).
#[derive(Debug, Default, Deserialize)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// One key (RFC 7518, section 6). Of a kind that is not known here it has none of the numbers.
#[derive(Debug, Deserialize)]
struct Key {
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// What a signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// It is the API server's.
    Good,
    /// It names a key of the API server's, and is not by that key.
    Forged,
    /// It is by a key that is not known here, or in a way that is not.
    Unknown,
}

impl KeySet {
    /// Who has signed this token, a header, claims and a signature (RFC 7515, section 3.1).
    pub fn signature(&self, token: &str) -> Signature {
        let Some((signed, signature)) = token.rsplit_once('.') else { return Signature::Unknown };
        let header = signed.split('.').next().and_then(decode);
        let header = header.and_then(|header| serde_json::from_slice::<Header>(&header).ok());
        let (Some(header), Some(signature)) = (header, decode(signature)) else { return Signature::Unknown };
        let named = self.keys.iter().filter(|key| header.kid.is_none() || key.kid == header.kid);
        let said: Vec<bool> =
            named.filter_map(|key| key.has_signed(&header.alg, signed.as_bytes(), &signature)).collect();
        match (said.contains(&true), said.is_empty()) {
            (true, _) => Signature::Good,
            (false, false) => Signature::Forged,
            (false, true) => Signature::Unknown,
        }
    }
}

impl Key {
    /// None if it cannot have signed in this way. The way is the key's to choose, and the token only says which it was.
    fn has_signed(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> Option<bool> {
        let good = match (algorithm, self.crv.as_deref()) {
            ("RS256", None) => {
                let (n, e) = (decode(self.n.as_deref()?)?, decode(self.e.as_deref()?)?);
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            ("ES256", Some("P-256")) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.point()?).verify(signed, signature)
            }
            ("ES384", Some("P-384")) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, self.point()?).verify(signed, signature)
            }
            _ => return None,
        };
        Some(good.is_ok())
    }

    /// A point of the curve, not compressed (SEC 1, section 2.3.3).
    fn point(&self) -> Option<Vec<u8>> {
        Some([vec![4], decode(self.x.as_deref()?)?, decode(self.y.as_deref()?)?].concat())
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signer::Signer;

    fn set(keys: &[serde_json::Value]) -> KeySet {
        serde_json::from_value(serde_json::json!({"keys": keys})).unwrap()
    }

    #[test]
    fn a_signature_is_good_by_the_key_that_it_names_or_by_any() {
        let (one, other) = (Signer::new(), Signer::new());
        let keys = set(&[one.key("1"), other.key("2")]);
        for header in [r#"{"alg":"ES256","kid":"1"}"#, r#"{"alg":"ES256"}"#] {
            assert_eq!(keys.signature(&one.token(header)), Signature::Good, "{header}");
        }
        assert_eq!(keys.signature(&one.token(r#"{"alg":"ES256","kid":"2"}"#)), Signature::Forged);
        assert_eq!(keys.signature(&one.token(r#"{"alg":"ES256","kid":"3"}"#)), Signature::Unknown);
        assert_eq!(set(&[other.key("2")]).signature(&one.token(r#"{"alg":"ES256"}"#)), Signature::Forged);
    }

    #[test]
    fn the_larger_curve_is_taken_too_and_each_by_its_own_name_only() {
        let signer = Signer::p384();
        let keys = set(&[signer.key("1")]);
        let token = signer.token(r#"{"alg":"ES384","kid":"1"}"#);
        assert_eq!(keys.signature(&token), Signature::Good);
        assert_eq!(keys.signature(&token.replacen(".e30.", ".e31.", 1)), Signature::Forged);
        assert_eq!(keys.signature(&signer.token(r#"{"alg":"ES256","kid":"1"}"#)), Signature::Unknown);
    }

    #[test]
    fn what_was_changed_is_forged_and_no_other_way_is_taken() {
        let signer = Signer::new();
        let keys = set(&[signer.key("1")]);
        let token = signer.token(r#"{"alg":"ES256","kid":"1"}"#);
        let (head, rest) = token.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        assert_eq!(keys.signature(&format!("{head}.e30x.{signature}")), Signature::Forged);
        for header in
            [r#"{"alg":"none","kid":"1"}"#, r#"{"alg":"HS256","kid":"1"}"#, r#"{"alg":"RS256"}"#, "{}"]
        {
            assert_eq!(keys.signature(&signer.token(header)), Signature::Unknown, "{header}");
        }
        for bad in ["", "a", "a.b.c", "..", &format!("{head}.e30.")] {
            assert_eq!(keys.signature(bad), Signature::Unknown, "{bad}");
        }
    }

    #[test]
    fn an_rsa_key_is_taken_as_the_api_server_writes_it() {
        // Made with `openssl genrsa 2048` and `openssl dgst -sha256 -sign`.
        let n = "u1_uffY7or_nPDzeZuDB98_pO8Z-dV0625dxwghrdgaZx92f57DnjZlXIXwideoU7RAAPXryugAeA3UFgw4_BtfXpseI-\
                 wMtcp7JnqZsBaJGJYN-uz06b0RQii-\
                 38cVbo2ZNy5uFjCFZQ3pC2EJOStUNEyZhl6Bb1Qo_nErDk3khDuODdwxue21t684cbXyFKCtNNMVaiA9P8DfwWOhE_Ll_XJTrYGp\
                 7URtmNR_Wo-\
                 i2I6uzGiKmda5bzAtZ5J3TcuC5s8FoVhYhAoA9Fz7_hU2fvw40Uk9p_lu275lO3pcxcZyIMqERfvAK54iHAJgDCl95HuMIys6aB_\
                 I4PFyPkw";
        let signature = "RUHQ5gYFr4zm1tgF6TmAyRQ2gwsNvCdX168Nn1LQ-\
                         5Y3JUJ9qiY2djlEBRhOYJQFp1u690N07bkH4nLQT39_E8Mgo8tP_B5QEb1tCYtcBLJ1y5q_bRF9605gPs9NkVB_IlBOACzgPaUTA\
                         GKmGWRfaV0OySwnX0Xxj_DNJ0Kkxrr_bJm6ruMtRcRhvbbVjVXIpStVmxm1cqoMnlTWkWu2HVO-\
                         aHEAgMyKTZHr2BOez3vIf170x1nxxDSeh7k5yju06X0Yjoj3beSQP3t_dLI8esgUQJ5C_m-m8Yd75QWuDtpxTUwAERCtK4Qcz-\
                         Njn44kq-UwNFTMkl5JDR9sMiulxQ";
        let key =
            serde_json::json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "n": n, "e": "AQAB"});
        let token = format!("eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.{signature}");
        assert_eq!(set(std::slice::from_ref(&key)).signature(&token), Signature::Good);
        assert_eq!(set(&[key]).signature(&token.replace(".e30.", ".e31.")), Signature::Forged);
    }
}
