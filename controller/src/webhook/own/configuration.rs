//! The object in which the API server is told whom to believe when it asks.

use anyhow::{Context as _, Result};
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
}

impl Configuration {
    /// Those of a place.
    pub fn of(place: &Place, client: &Client) -> Vec<Self> {
        let one = |name: &str, kind: ApiResource| Self {
            name: name.to_owned(),
            objects: Api::all_with(client.clone(), &kind),
            kind: kind.kind,
        };
        let mutating = one(&place.configuration, ApiResource::erase::<MutatingWebhookConfiguration>(&()));
        let validating = |name: &String| one(name, ApiResource::erase::<ValidatingWebhookConfiguration>(&()));
        [mutating].into_iter().chain(place.validating.as_ref().map(validating)).collect()
    }

    /// Tells the API server whom to believe, unless it knows that.
    ///
    /// # Errors
    /// The object cannot be read or written.
    pub async fn tell_authorities(&self, material: &Material) -> Result<()> {
        let Self { name, kind, objects } = self;
        let there =
            asked(objects.get(name)).await.with_context(|| format!("the {kind} {name} cannot be read"))?;
        let authorities = json!(ByteString(material.authorities().as_bytes().to_vec()));
        let unknowing: Vec<Value> = there.data["webhooks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|webhook| webhook["clientConfig"]["caBundle"] != authorities)
            .map(|webhook| json!({"name": webhook["name"], "clientConfig": {"caBundle": authorities}}))
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
