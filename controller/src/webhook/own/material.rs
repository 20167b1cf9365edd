//! What is in the Secret: an authority, a certificate that it has signed, and when each is to be renewed. Knows no clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::ByteString;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::ServerConfig;

use crate::base::limits;
use crate::tls::server_config;

/// How many lives of a certificate its authority has: enough that each ends before it.
const AUTHORITY_LIVES: u32 = 4;

/// The keys of the Secret, those of a Secret for TLS among them.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const RENEWAL: &str = "renewal.json";
const WORD: &str = "word";

/// What certificates are made for, and for how long.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The names and addresses by which the API server comes.
    pub names: Vec<String>,
    /// How long one is good.
    pub life: Duration,
}

/// When what is to be renewed, and the names of the certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Renewal {
    authority: Timestamp,
    certificate: Timestamp,
    names: Vec<String>,
}

/// An authority and a certificate that it has signed, as PEM.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    certificate: String,
    key: String,
    authorities: String,
    authority_key: String,
    renewal: Renewal,
    /// What nobody knows but the replicas and the API server; empty in a Secret of an earlier release.
    word: String,
}

impl Material {
    /// What the Secret has, if it has all of it.
    pub fn of(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
        Some(Self {
            certificate: text(CERTIFICATE)?,
            key: text(KEY)?,
            authorities: text(AUTHORITIES)?,
            authority_key: text(AUTHORITY_KEY)?,
            renewal: serde_json::from_str(&text(RENEWAL)?).ok()?,
            word: text(WORD).unwrap_or_default(),
        })
    }

    /// As the Secret has it.
    ///
    /// # Errors
    /// A time cannot be written.
    pub fn data(&self) -> Result<BTreeMap<String, ByteString>> {
        let renewal = serde_json::to_string(&self.renewal)?;
        let all = [
            (CERTIFICATE, &self.certificate),
            (KEY, &self.key),
            (AUTHORITIES, &self.authorities),
            (AUTHORITY_KEY, &self.authority_key),
            (RENEWAL, &renewal),
            (WORD, &self.word),
        ];
        Ok(all.map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes()))).into())
    }

    /// The authorities that the API server has to believe: the one that has signed, and the one before, whose certificate another
    /// replica may still have.
    pub fn authorities(&self) -> &str {
        &self.authorities
    }

    /// Where the API server asks about evictions, and nobody else can.
    pub fn eviction_path(&self) -> String {
        format!("/evict/{}", self.word)
    }

    /// What a server needs of it.
    ///
    /// # Errors
    /// It is no certificate and its key.
    pub fn config(&self) -> Result<Arc<ServerConfig>> {
        server_config(self.certificate.as_bytes(), self.key.as_bytes())
    }

    /// What is to take its place now, if something is.
    ///
    /// # Errors
    /// A name is none.
    pub fn renewed(before: Option<&Self>, wanted: &Wanted, now: Timestamp) -> Result<Option<Self>> {
        let kept = before.filter(|before| before.renewal.authority > now);
        let is_good = |one: &&Self| {
            one.renewal.certificate > now && one.renewal.names == wanted.names && !one.word.is_empty()
        };
        if kept.filter(is_good).is_some_and(|kept| kept.config().is_ok()) {
            return Ok(None);
        }
        let by_authority = kept.map(|kept| kept.with_certificate(wanted, now)).and_then(Result::ok);
        by_authority.map_or_else(|| Self::begun(before, wanted, now), Ok).map(Some)
    }

    /// With an authority of its own, behind which is the one before, and by the same word.
    fn begun(before: Option<&Self>, wanted: &Wanted, now: Timestamp) -> Result<Self> {
        let (key, life) = (KeyPair::generate()?, wanted.life * AUTHORITY_LIVES);
        let authority = lasting(authority_params()?, now, life)?.self_signed(&key)?.pem();
        let previous = before.and_then(|before| first_of(&before.authorities)).unwrap_or_default();
        let renewal = Renewal { authority: renew_after(now, life)?, certificate: now, names: Vec::new() };
        let (certificate, own_key) = (String::new(), String::new());
        let authorities = authority + previous;
        let authority_key = key.serialize_pem();
        let word = before.map(|before| before.word.clone()).unwrap_or_default();
        Self { certificate, key: own_key, authorities, authority_key, renewal, word }
            .with_certificate(wanted, now)
    }

    /// With a new certificate of the same authority, and a word if there is none.
    fn with_certificate(&self, wanted: &Wanted, now: Timestamp) -> Result<Self> {
        let issuer = Issuer::new(authority_params()?, KeyPair::from_pem(&self.authority_key)?);
        let mut params = CertificateParams::new(wanted.names.clone())?;
        params.distinguished_name.push(DnType::CommonName, "crik-webhook");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = lasting(params, now, wanted.life)?.signed_by(&key, &issuer)?.pem();
        let renewal = Renewal {
            certificate: renew_after(now, wanted.life)?,
            names: wanted.names.clone(),
            ..self.renewal.clone()
        };
        let word = if self.word.is_empty() { random_word()? } else { self.word.clone() };
        Ok(Self { certificate, key: key.serialize_pem(), renewal, word, ..self.clone() })
    }
}

fn authority_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "crik-webhook-authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// Good from a while ago, since clocks differ.
fn lasting(mut params: CertificateParams, now: Timestamp, life: Duration) -> Result<CertificateParams> {
    let seconds = u64::try_from(now.as_second()).context("the clock is before 1970")?;
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = now - limits::CLOCKS_DIFFER;
    params.not_after = now + life;
    Ok(params)
}

/// When a third of its life is left.
fn renew_after(now: Timestamp, life: Duration) -> Result<Timestamp> {
    Ok(now.checked_add(SignedDuration::try_from(life * 2 / 3)?)?)
}

/// 128 bits by chance, in letters that a path of the API server's may have: those of a DNS label.
fn random_word() -> Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The first certificate of several.
fn first_of(authorities: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let end = authorities.find(END)? + END.len();
    Some(&authorities[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(90);

    fn wanted(name: &str) -> Wanted {
        Wanted { names: vec![name.to_owned()], life: LIFE }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn renewed(before: Option<&Material>, seconds: i64) -> Option<Material> {
        Material::renewed(before, &wanted("crik.crik.svc"), at(seconds)).unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left_and_by_the_same_authority() {
        let first = renewed(None, 0).unwrap();
        assert_eq!(renewed(Some(&first), 59), None);
        let second = renewed(Some(&first), 60).unwrap();
        assert_ne!(second.certificate, first.certificate);
        assert_eq!(second.authorities, first.authorities);
        assert_eq!(renewed(Some(&second), 119), None);
    }

    #[test]
    fn an_authority_is_renewed_before_a_certificate_could_outlive_it_and_the_one_before_is_believed_on() {
        let first = renewed(None, 0).unwrap();
        let late = renewed(Some(&first), 239).unwrap();
        assert_eq!(late.authorities, first.authorities);
        let next = renewed(Some(&late), 240).unwrap();
        assert!(
            next.authorities.ends_with(first.authorities.trim_end()) && next.authorities != first.authorities
        );
        let after = renewed(Some(&next), 480).unwrap();
        assert!(!after.authorities.contains(first.authorities.trim_end()), "no more than two");
    }

    #[test]
    fn other_names_and_what_is_damaged_lead_to_another_certificate() {
        let first = renewed(None, 0).unwrap();
        let other = Material::renewed(Some(&first), &wanted("other.crik.svc"), at(1)).unwrap().unwrap();
        assert_eq!(other.authorities, first.authorities);
        let damaged = Material { key: "none".to_owned(), ..first.clone() };
        assert!(renewed(Some(&damaged), 1).unwrap().config().is_ok());
        let without_authority = Material { authority_key: "none".to_owned(), ..damaged };
        assert!(renewed(Some(&without_authority), 1).unwrap().config().is_ok());
    }

    #[test]
    fn the_word_is_no_others_and_stays_whatever_is_renewed() {
        let (first, other) = (renewed(None, 0).unwrap(), renewed(None, 0).unwrap());
        assert!(first.word.len() == 32 && first.word != other.word);
        for seconds in [60, 240] {
            assert_eq!(renewed(Some(&first), seconds).unwrap().word, first.word);
        }
        let of_an_earlier_release = Material { word: String::new(), ..first.clone() };
        let found = renewed(Some(&of_an_earlier_release), 1).unwrap();
        assert!(found.word.len() == 32 && found.authorities == first.authorities);
    }

    #[test]
    fn it_is_in_the_secret_as_it_was() {
        let material = renewed(None, 0).unwrap();
        assert_eq!(Material::of(&material.data().unwrap()), Some(material));
        assert_eq!(Material::of(&BTreeMap::new()), None);
    }
}
