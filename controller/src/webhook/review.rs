//! One question of the API server, and the answer to it.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::claims::Claims;
use super::images::Images;
use super::namespaces::Namespaces;
use crate::base::limits;
use crate::base::outcomes::{Outcomes, count};
use crate::inject::{Facts, Injected, Settings, inject, is_wanted};

/// What every question needs.
pub struct Reviews {
    /// What pods are given.
    pub settings: Settings,
    /// What their namespaces let in.
    pub namespaces: Namespaces,
    /// What their images start.
    pub images: Images,
    /// What their claims can do.
    pub claims: Claims,
    /// What has come of them.
    pub outcomes: Outcomes,
    /// For what is read at the same time.
    pub places: Semaphore,
}

/// Answers what is to become of a pod.
pub async fn inject_pod(State(reviews): State<Arc<Reviews>>, body: Body) -> Response {
    let request = match read(body, "a Pod", &reviews.places).await {
        Ok(request) => request,
        Err(problem) => return (StatusCode::BAD_REQUEST, problem).into_response(),
    };
    let answer = reviews.answer(&request).await;
    Json(answer.into_review()).into_response()
}

/// What is asked of `what`. A few at a time, since each may be large and whoever reaches the port may send one.
///
/// # Errors
/// It comes too slowly, or is something else.
pub async fn read<K: Resource + DeserializeOwned>(
    body: Body,
    what: &str,
    places: &Semaphore,
) -> Result<AdmissionRequest<K>, String> {
    let late = |_| "the question took too long".to_owned();
    let _place = timeout(limits::REVIEW_READING, places.acquire()).await.map_err(late)?;
    let whole = timeout(limits::REVIEW_READING, to_bytes(body, limits::OBJECT_MAX_BYTES)).await;
    let bytes: Bytes = whole.map_err(late)?.map_err(|error| error.to_string())?;
    let review: AdmissionReview<K> = serde_json::from_slice(&bytes)
        .map_err(|error| format!("this is no AdmissionReview of {what}: {error}"))?;
    review.try_into().map_err(|_| "this AdmissionReview asks nothing".to_owned())
}

impl Reviews {
    async fn answer(&self, request: &AdmissionRequest<Pod>) -> AdmissionResponse {
        let response = AdmissionResponse::from(request);
        let is_new = request.operation == Operation::Create && request.sub_resource.is_none();
        let Some(pod) = request.object.as_ref().filter(|pod| is_new && is_wanted(pod)) else {
            count(&self.outcomes, "unasked");
            return response;
        };
        let injected = self.injected(request, pod).await;
        count(&self.outcomes, if injected.is_put_under_crik(pod) { "injected" } else { "unchanged" });
        tell(request, pod, &injected);
        with(response, pod, injected).unwrap_or_else(|error| {
            tracing::error!("a pod stays as it is: {error}; please report this");
            AdmissionResponse::from(request)
        })
    }

    async fn injected(&self, request: &AdmissionRequest<Pod>, pod: &Pod) -> Injected {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let mut facts = Facts::default();
        match self.namespaces.labels(namespace).await {
            Ok(labels) => facts.namespace = labels,
            Err(why) => return Injected::unchanged(pod, format!("its namespace is not known: {why}")),
        }
        let mut injected = inject(pod, &facts, &self.settings);
        if let Some(question) = injected.asks.take() {
            facts.entrypoint = self.images.look_up(question, namespace, pod).await;
            injected = inject(pod, &facts, &self.settings);
        }
        if let Some(name) = &injected.claim {
            injected.warnings.extend(self.claims.warning(namespace, name).await);
        }
        injected
    }
}

/// The answer, with what changes and what is to be known.
///
/// # Errors
/// It cannot be written.
fn with(mut response: AdmissionResponse, pod: &Pod, injected: Injected) -> anyhow::Result<AdmissionResponse> {
    if injected.pod != *pod {
        let patch = json_patch::diff(&serde_json::to_value(pod)?, &serde_json::to_value(&injected.pod)?);
        response = response.with_patch(patch)?;
    }
    response.warnings = Some(injected.warnings).filter(|warnings| !warnings.is_empty());
    Ok(response)
}

/// Once for each pod, since nobody may have seen the warnings: most pods are created by a controller.
fn tell(request: &AdmissionRequest<Pod>, pod: &Pod, injected: &Injected) {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let meta = &pod.metadata;
    let name = meta.name.as_deref().or(meta.generate_name.as_deref()).unwrap_or_default();
    for warning in &injected.warnings {
        tracing::warn!(namespace, pod = name, "{warning}");
    }
    if injected.is_put_under_crik(pod) {
        tracing::info!(namespace, pod = name, dry_run = request.dry_run, "a pod is put under crik");
    }
}
