//! What a token says of itself. Not verified here: the API server decides whether a token is good. This tells what it
//! cannot find good, so that it need not be asked, and how long what it found may count.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::permission::Refusal;

#[derive(Deserialize)]
struct Claims {
    aud: Audience,
    exp: u64,
}

/// One audience or several (RFC 7519, section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// When a token expires (RFC 7519, section 4.1.4).
///
/// # Errors
/// It is no projected ServiceAccount token, or is for another audience, or has expired.
pub fn expiry(token: &str, audience: &str, now: SystemTime) -> Result<SystemTime, Refusal> {
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
    if expires <= now { Err(Refusal::Expired) } else { Ok(expires) }
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
