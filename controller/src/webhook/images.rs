//! What a pod's image starts, by its registry, which may want one of the pod's pull secrets.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};

use crate::base::limits;
use crate::inject::{Entrypoint, Settings};
use crate::registry::{Credentials, Question, Registries};

/// Said where registries are not to be asked.
const SWITCHED_OFF: &str = "registries are not asked here (inject.lookUpImages)";

/// Looks images up.
pub struct Images {
    /// None if registries are not to be asked.
    registries: Option<Registries>,
    /// Reads pull secrets, if they are to be shown.
    client: Option<Client>,
}

impl Images {
    /// As the settings say.
    ///
    /// # Errors
    /// A registry in them is none.
    pub fn new(settings: &Settings, client: Client) -> anyhow::Result<Self> {
        let registries =
            settings.look_up_images.then(|| Registries::new(&settings.registries)).transpose()?;
        Ok(Self { registries, client: settings.pull_secrets.then_some(client) })
    }

    /// What the image of a pod starts.
    pub async fn look_up(&self, question: Question, namespace: &str, pod: &Pod) -> Entrypoint {
        let Some(registries) = &self.registries else { return Entrypoint::Unknown(SWITCHED_OFF.to_owned()) };
        let names = self.client.as_ref().map(|_| pull_secrets(pod)).unwrap_or_default();
        let whose = (!names.is_empty()).then(|| format!("{namespace}/{}", names.join(",")));
        let secrets = self.client.clone().map(|client| Api::namespaced(client, namespace));
        match registries.image(question, namespace, whose, read(secrets, names)).await {
            Ok(image) => Entrypoint::Known(image),
            Err(why) => Entrypoint::Unknown(why),
        }
    }
}

/// Those of the pod's ServiceAccount are among them already: the API server has given the pod them before it asks.
fn pull_secrets(pod: &Pod) -> Vec<String> {
    let secrets = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
    let names = secrets.into_iter().flatten().map(|secret| secret.name.clone());
    names.filter(|name| (1..=limits::NAME_MAX).contains(&name.len())).take(limits::PULL_SECRETS_MAX).collect()
}

/// What is in them. One that cannot be read is left out, as the kubelet does: the image may be public.
async fn read(api: Option<Api<Secret>>, names: Vec<String>) -> Credentials {
    let (mut credentials, mut found) = (Credentials::default(), 0);
    let Some(api) = api else { return credentials };
    for name in names {
        let secret = match api.get_opt(&name).await {
            Ok(secret) => secret,
            Err(error) => {
                tracing::warn!(
                    secret = name,
                    "a pull secret cannot be read: {error}; see inject.pullSecrets"
                );
                continue;
            }
        };
        found += usize::from(secret.is_some());
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        if let Some(json) = data.get(".dockerconfigjson") {
            credentials.add_config(&json.0);
        }
        if let Some(json) = data.get(".dockercfg") {
            credentials.add_old_config(&json.0);
        }
    }
    tracing::debug!("{found} of the pod's pull secrets may be shown to its image's registry");
    credentials
}
