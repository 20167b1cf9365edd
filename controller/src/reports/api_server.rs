//! What is asked of the API server for a report: the Pod, an Event and a patch.

use crik_api::report::Report;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use super::change::Change;
use super::error::{NotTaken, explain, gone};
use super::of::Of;
use crate::base::cluster_event::{self, Told};
use crate::base::complaint::Complaint;
use crate::base::outcomes::{Outcomes, count};
use crate::workloads::{WatchedPod, Workload};

/// What the API server answers if something is there already, or was changed meanwhile.
const CONFLICT: u16 = 409;

/// The way to it.
pub struct ApiServer {
    client: Client,
    /// This replica's name.
    instance: String,
    /// What came of Events.
    outcomes: Outcomes,
    /// Why there are none, as long as it is so.
    complaint: Complaint,
}

impl ApiServer {
    /// By this client; what comes of Events is counted in `outcomes`.
    pub fn new(client: Client, instance: String, outcomes: Outcomes) -> Self {
        Self { client, instance, outcomes, complaint: Complaint::default() }
    }

    /// The pod as it is, if it is still this one.
    ///
    /// # Errors
    /// It is not, or cannot be read.
    pub async fn read(&self, of: &Of) -> Result<Workload, NotTaken> {
        let pods: Api<WatchedPod> = Api::namespaced(self.client.clone(), &of.namespace);
        let pod = pods.get(&of.name).await.map_err(|error| explain(&error, of))?.workload;
        if *pod.uid == of.uid { Ok(pod) } else { Err(gone(of)) }
    }

    /// Writes the Event, if there is to be one. One that the API server will not have is left out, since a quota, or a right that is
    /// missing, must not keep the rest from being known.
    ///
    /// # Errors
    /// It may be written later.
    pub async fn tell(&self, of: &Of, report: &Report, change: &Change) -> Result<(), NotTaken> {
        let Some(event) = self.event(of, report, change) else { return Ok(()) };
        let events: Api<Event> = Api::namespaced(self.client.clone(), &of.namespace);
        let (result, why) = match events.create(&PostParams::default(), &event).await {
            Ok(_) => ("written", None),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => ("repeated", None),
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                ("failed", Some(status.message.clone()))
            }
            Err(error) => return Err(explain(&error, of)),
        };
        count(&self.outcomes, result);
        let is_news = self.complaint.is_news(why.as_deref());
        if let Some(why) = why.filter(|_| is_news) {
            let (namespace, pod) = (&of.namespace, &of.name);
            tracing::warn!(
                namespace,
                pod,
                "no Event tells of a report; allow this ServiceAccount to create events in all namespaces: {why}"
            );
        }
        Ok(())
    }

    /// Its name is made of the report, so that a second one is a conflict.
    fn event(&self, of: &Of, report: &Report, change: &Change) -> Option<Event> {
        let said = change.event.as_ref()?;
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(of.namespace.clone()),
            name: Some(of.name.clone()),
            uid: Some(of.uid.clone()),
            ..ObjectReference::default()
        };
        let (began, number) = (format!("{:x}", report.id.began), format!("{:x}", report.id.number));
        Some(cluster_event::event(Told {
            about,
            namespace: &of.namespace,
            reason: said.reason,
            is_warning: said.is_warning,
            message: said.message.clone(),
            distinct: &[&of.uid, &began, &number],
            instance: &self.instance,
            at: change.at,
        }))
    }

    /// Changes the pod. False if it was changed since it was looked at.
    ///
    /// # Errors
    /// It cannot be changed.
    pub async fn write(&self, of: &Of, patch: &Value) -> Result<bool, NotTaken> {
        let pods: Api<WatchedPod> = Api::namespaced(self.client.clone(), &of.namespace);
        let done = pods.patch_status(&of.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        match done {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(false),
            Err(error) => Err(explain(&error, of)),
        }
    }
}
