//! Passwords for registries, as a pull secret has them.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_spec::distribution::Reference;
use serde::Deserialize;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    user: String,
    password: String,
}

impl Credential {
    /// As a registry is shown it.
    pub fn basic(&self) -> Option<HeaderValue> {
        secret(&format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password))))
    }
}

/// Those of a pod: for which registries, or repositories of one.
#[derive(Clone, Default)]
pub struct Credentials(Vec<(String, Credential)>);

/// An entry, as docker has it.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

impl Credentials {
    /// Adds what is in a Secret of type `kubernetes.io/dockerconfigjson`. What cannot be read is left out: the kubelet does so, too.
    pub fn add_config(&mut self, json: &[u8]) {
        if let Ok(config) = serde_json::from_slice::<DockerConfig>(json) {
            self.add(config.auths);
        }
    }

    /// The same of type `kubernetes.io/dockercfg`.
    pub fn add_old_config(&mut self, json: &[u8]) {
        if let Ok(auths) = serde_json::from_slice(json) {
            self.add(auths);
        }
    }

    fn add(&mut self, auths: BTreeMap<String, Entry>) {
        let read = auths.into_iter().filter_map(|(at, entry)| Some((place(&at), credential(entry)?)));
        self.0.extend(read);
    }

    /// The one for an image: of the places that it lies in the one that is named most closely, as the kubelet does.
    pub fn of(&self, image: &Reference) -> Option<Credential> {
        let hosts = [image.registry(), image.resolve_registry()];
        let matching =
            self.0.iter().filter(|(place, _)| hosts.iter().any(|host| lies_in(host, image, place)));
        matching.max_by_key(|(place, _)| place.len()).map(|(_, credential)| credential.clone())
    }
}

/// Without what docker writes around a registry's name.
fn place(at: &str) -> String {
    let bare = at.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = ["/v1", "/v2"].into_iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(bare);
    bare.to_owned()
}

fn credential(entry: Entry) -> Option<Credential> {
    if !entry.username.is_empty() {
        return Some(Credential { user: entry.username, password: entry.password });
    }
    let both = String::from_utf8(STANDARD.decode(entry.auth).ok()?).ok()?;
    let (user, password) = both.split_once(':')?;
    Some(Credential { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
}

/// Whether the image of this host lies there. A `*` stands for one part of the host's name.
fn lies_in(host: &str, image: &Reference, place: &str) -> bool {
    let (place_host, path) = place.split_once('/').unwrap_or((place, ""));
    let is_part = |(one, pattern): (&str, &str)| pattern == "*" || one == pattern || is_like(one, pattern);
    let (parts, patterns): (Vec<_>, Vec<_>) = (host.split('.').collect(), place_host.split('.').collect());
    let is_host = parts.len() == patterns.len() && parts.into_iter().zip(patterns).all(is_part);
    let below = image.repository().strip_prefix(path);
    is_host && below.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

/// A part with one `*`, such as `*-docker`.
fn is_like(part: &str, pattern: &str) -> bool {
    pattern.split_once('*').is_some_and(|(begin, end)| {
        part.len() >= begin.len() + end.len() && part.starts_with(begin) && part.ends_with(end)
    })
}

/// A header that is not shown in any log.
pub fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(of: &Credentials, image: &str) -> Option<String> {
        of.of(&image.parse().unwrap()).map(|credential| credential.user)
    }

    #[test]
    fn an_image_gets_the_password_of_the_place_that_is_named_most_closely() {
        let mut all = Credentials::default();
        all.add_config(
            br#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
                 "registry.example:5000": {"username": "all", "password": "p"},
                 "registry.example:5000/team": {"username": "team", "password": "p"},
                 "*.gcr.example": {"username": "any", "password": "p"}, "*-docker.pkg.example": {"username": "like", "password": "p"},
                 "broken.example": {"auth": "!"}}}"#,
        );
        all.add_old_config(br#"{"old.example": {"username": "old", "password": "p"}}"#);
        all.add_config(b"nonsense");
        for (image, expected) in [
            ("redis", Some("hub")),
            ("docker.io/library/redis:7", Some("hub")),
            ("registry.example:5000/app", Some("all")),
            ("registry.example:5000/team/app", Some("team")),
            ("registry.example:5000/teams/app", Some("all")),
            ("registry.example/app", None),
            ("eu.gcr.example/app", Some("any")),
            ("a.eu.gcr.example/app", None),
            ("eu-docker.pkg.example/app", Some("like")),
            ("old.example/app", Some("old")),
            ("broken.example/app", None),
            ("other.example/app", None),
        ] {
            assert_eq!(user(&all, image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn a_password_is_shown_to_no_log() {
        let credential = Credential { user: "u".to_owned(), password: "p".to_owned() };
        let header = credential.basic().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic dTpw");
        assert!(!format!("{header:?}").contains("dTpw"));
    }
}
