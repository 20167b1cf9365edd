//! The object in which the API server is told whom to believe when it asks, and where it asks about evictions.

use anyhow::{Context as _, Result};
use axum::http::Uri;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::asked::asked;
use super::material::Material;
use super::place::Place;

/// One of them, all of whose webhooks are answered by this program.
pub struct Configuration {
    name: String,
    kind: String,
    objects: Api<DynamicObject>,
    /// Whether it is about evictions.
    of_evictions: bool,
}

impl Configuration {
    /// Those of a place.
    pub fn of(place: &Place, client: &Client) -> Vec<Self> {
        let one = |name: &str, kind: ApiResource, of_evictions: bool| Self {
            name: name.to_owned(),
            objects: Api::all_with(client.clone(), &kind),
            kind: kind.kind,
            of_evictions,
        };
        let mutating =
            one(&place.configuration, ApiResource::erase::<MutatingWebhookConfiguration>(&()), false);
        let validating =
            |name: &String| one(name, ApiResource::erase::<ValidatingWebhookConfiguration>(&()), true);
        [mutating].into_iter().chain(place.validating.as_ref().map(validating)).collect()
    }

    /// Tells the API server whom to believe, and where to ask about evictions, unless it knows that.
    ///
    /// # Errors
    /// The object cannot be read or written.
    pub async fn tell(&self, material: &Material) -> Result<()> {
        let Self { name, kind, objects, .. } = self;
        let there =
            asked(objects.get(name)).await.with_context(|| format!("the {kind} {name} cannot be read"))?;
        let path = self.of_evictions.then(|| material.eviction_path());
        let unknowing: Vec<Value> = there.data["webhooks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|webhook| {
                let told = untold(&webhook["clientConfig"], material.authorities(), path.as_deref())?;
                Some(json!({"name": webhook["name"], "clientConfig": told}))
            })
            .collect();
        if unknowing.is_empty() {
            return Ok(());
        }
        let patch = Patch::Strategic(json!({"webhooks": unknowing}));
        let told = asked(objects.patch(name, &PatchParams::default(), &patch)).await;
        told.with_context(|| format!("the {kind} {name} cannot be written"))?;
        Ok(())
    }
}

/// What is to be changed where a webhook is asked; none if nothing is. A Service is asked at the path, and so is who is found by an
/// address.
fn untold(there: &Value, authorities: &str, path: Option<&str>) -> Option<Value> {
    let mut told = json!({"caBundle": ByteString(authorities.as_bytes().to_vec())});
    match (path, there["url"].as_str()) {
        (Some(path), Some(url)) => told["url"] = json!(with_path(url, path)?),
        (Some(path), None) => told["service"] = json!({"path": path}),
        (None, _) => {}
    }
    let mut after = there.clone();
    json_patch::merge(&mut after, &told);
    (after != *there).then_some(told)
}

/// None if it is no address.
fn with_path(url: &str, path: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    Some(format!("{}://{}{path}", url.scheme()?, url.authority()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_is_told_what_it_does_not_know_and_nothing_twice() {
        for (there, path, expected) in [
            (
                json!({"service": {"name": "crik", "namespace": "n"}}),
                Some("/evict/x"),
                json!({"caBundle": "YQ==", "service": {"path": "/evict/x"}}),
            ),
            (
                json!({"url": "https://127.0.0.1:1/evict", "caBundle": "YQ=="}),
                Some("/evict/x"),
                json!({"caBundle": "YQ==", "url": "https://127.0.0.1:1/evict/x"}),
            ),
            (json!({"service": {"path": "/inject"}, "caBundle": "Yg=="}), None, json!({"caBundle": "YQ=="})),
        ] {
            let told = untold(&there, "a", path);
            assert_eq!(told.as_ref(), Some(&expected), "{there}");
            let mut after = there;
            json_patch::merge(&mut after, &expected);
            assert_eq!(untold(&after, "a", path), None, "{after}");
        }
    }
}
