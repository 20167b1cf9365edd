//! From an image's name to what it starts: its manifest, or for an index those of the pod's architectures, and the configuration that each
//! names (<https://github.com/opencontainers/distribution-spec>).

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderValue, StatusCode};
use hyper::body::Bytes;
use oci_spec::distribution::Reference;
use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest, Os};
use ring::digest::{SHA256, SHA512, digest};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::authorization::answer_to;
use super::credentials::Credential;
use super::error::LookupError;
use super::image::{Image, of_nodes};
use super::transport::{Answer, Asked, Transport};
use crate::base::limits;

/// What a manifest may be.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// What a configuration may be.
const BLOBS: &str = "*/*";

/// One lookup.
pub struct Lookup<'a> {
    transport: &'a Transport,
    reference: Reference,
    credential: Option<Credential>,
    /// What the registry has been content with.
    authorization: Mutex<Option<HeaderValue>>,
}

impl<'a> Lookup<'a> {
    /// Of an image.
    pub fn new(transport: &'a Transport, reference: Reference, credential: Option<Credential>) -> Self {
        Self { transport, reference, credential, authorization: Mutex::default() }
    }

    /// What it starts on these architectures.
    ///
    /// # Errors
    /// It cannot be had, or each starts something else.
    pub async fn image(&self, architectures: &[String]) -> Result<Image, LookupError> {
        let digest = self.reference.digest();
        let name = digest.or(self.reference.tag()).unwrap_or("latest").to_owned();
        let (value, body) = self.manifest(&name, digest).await?;
        if value.get("manifests").is_none() {
            return self.of_manifest(&body).await;
        }
        let index: ImageIndex = parsed(&body, "index of images")?;
        let mut found: Option<Image> = None;
        for one in of_nodes(&index, architectures)? {
            let digest = one.digest().to_string();
            let (_, body) = self.manifest(&digest, Some(&digest)).await?;
            let image = self.of_manifest(&body).await?;
            if found.as_ref().is_some_and(|found| *found != image) {
                return Err(LookupError::Disagreement);
            }
            found = Some(image);
        }
        found.ok_or(LookupError::Malformed("index of images"))
    }

    async fn manifest(&self, name: &str, digest: Option<&str>) -> Result<(Value, Bytes), LookupError> {
        let body = self.read(&format!("manifests/{name}"), MANIFESTS).await?;
        is_what_was_asked_for(&body, digest, "manifest")?;
        Ok((parsed(&body, "manifest")?, body))
    }

    async fn of_manifest(&self, body: &[u8]) -> Result<Image, LookupError> {
        let manifest: ImageManifest = parsed(body, "manifest")?;
        let digest = manifest.config().digest().to_string();
        let body = self.read(&format!("blobs/{digest}"), BLOBS).await?;
        is_what_was_asked_for(&body, Some(&digest), "configuration")?;
        let configuration: ImageConfiguration = parsed(&body, "configuration of an image")?;
        if *configuration.os() != Os::Linux {
            return Err(LookupError::NoPlatform("Linux".to_owned()));
        }
        Ok(Image::of(&configuration))
    }

    /// Something of the image's repository, after the registry has been told who asks if it wants to know.
    async fn read(&self, what: &str, accept: &'static str) -> Result<Bytes, LookupError> {
        let path = format!("/v2/{}/{what}", self.reference.repository());
        let uri = self.transport.uri(self.reference.resolve_registry(), &path)?;
        let mut answer = self.asked(&uri, accept).await?;
        if let (StatusCode::UNAUTHORIZED, Some(challenge)) = (answer.status, &answer.challenge) {
            let repository = self.reference.repository();
            let shown = answer_to(challenge, repository, self.credential.as_ref(), self.transport).await?;
            *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
            answer = self.asked(&uri, accept).await?;
        }
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(LookupError::Unauthorized),
            other => Err(LookupError::Status(other.as_u16())),
        }
    }

    async fn asked(&self, uri: &axum::http::Uri, accept: &'static str) -> Result<Answer, LookupError> {
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let most = limits::REGISTRY_ANSWER_BYTES;
        self.transport.get(uri, Asked { accept, authorization: authorization.as_ref(), most }).await
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8], what: &'static str) -> Result<T, LookupError> {
    serde_json::from_slice(body).map_err(|_| LookupError::Malformed(what))
}

/// Whoever names an image by its digest gets that one, whatever the registry and the way to it are.
fn is_what_was_asked_for(body: &[u8], named: Option<&str>, what: &'static str) -> Result<(), LookupError> {
    let Some(named) = named else { return Ok(()) };
    let algorithm = match named.split_once(':') {
        Some(("sha256", _)) => &SHA256,
        Some(("sha512", _)) => &SHA512,
        _ => return Err(LookupError::Malformed("digest")),
    };
    let hex: String = digest(algorithm, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if named.split_once(':').is_some_and(|(_, given)| given == hex) {
        Ok(())
    } else {
        Err(LookupError::Altered(what))
    }
}
