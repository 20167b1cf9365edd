//! Pods under crik that are to be evicted. They are only objects: what their kubelets and agents would do is done by the test.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_api::report::{EVICTION_DEADLINE, MOVE, Move, PROTECTION, Step};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::release::{Release, pod};
use crate::control_plane::{Evicted, Evictor, PatchKind};
use crate::controller::Controller;
use crate::wait::wait_for;

/// A release whose controller is asked about evictions.
pub struct Moves {
    /// The release.
    pub release: Release,
    evictor: Evictor,
}

/// What stands on a pod of a move that was asked for so long ago.
pub fn moving(step: Step, ago: Duration) -> Value {
    let text = (Timestamp::now() - ago).to_string();
    let moving = Move { asked: text.clone(), step, at: text, why: None };
    json!({ MOVE: serde_json::to_string(&moving).unwrap_or_default() })
}

/// What an agent has told whose program could go on elsewhere.
pub fn protected() -> Value {
    json!({PROTECTION: r#"{"protected":true}"#})
}

impl Moves {
    /// Of a release.
    ///
    /// # Errors
    /// There is no way to its API server.
    pub fn new(release: Release) -> Result<Self> {
        let evictor = release.plane.api().block_on(Evictor::new(&release.plane.kubeconfig()))?;
        Ok(Self { release, evictor })
    }

    /// For evictions beside each other.
    pub fn evictor(&self) -> Evictor {
        self.evictor.clone()
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.release.pods())
    }

    /// Creates a pod that runs on a node, with these annotations.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn create(&self, name: &str, node: &str, annotations: &Value) -> Result<()> {
        self.create_with(name, node, &json!({"metadata": {"annotations": annotations}}))
    }

    /// The same with another change.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn create_with(&self, name: &str, node: &str, change: &Value) -> Result<()> {
        let mut object = pod(name, change);
        object["spec"]["nodeName"] = json!(node);
        let api = self.release.plane.api();
        drop(api.create(&self.release.pods(), &object)?);
        // What the controller alone says of a pod is taken from one that is created with it.
        let annotations = change["metadata"]["annotations"].clone();
        let after = json!({"metadata": {"annotations": annotations}, "status": {"phase": "Running"}});
        api.patch(&format!("{}/status", self.path(name)), PatchKind::Merge, &after).map(drop)
    }

    /// Writes on a pod what its agent has told, as the controller does.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn tell(&self, name: &str, annotations: &Value) -> Result<()> {
        let patch = json!({"metadata": {"annotations": annotations}});
        let path = format!("{}/status", self.path(name));
        self.release.plane.api().patch(&path, PatchKind::Merge, &patch).map(drop)
    }

    /// The move that stands on a pod.
    ///
    /// # Errors
    /// There is no such pod.
    pub fn moving(&self, name: &str) -> Result<Option<Move>> {
        let pod = self.release.plane.api().get(&self.path(name))?;
        let text = pod["metadata"]["annotations"][MOVE].as_str();
        Ok(text.map(serde_json::from_str).transpose()?)
    }

    /// Writes the next step of the move that stands on it.
    ///
    /// # Errors
    /// There is none.
    pub fn steps(&self, name: &str, step: Step) -> Result<()> {
        let moving = self.moving(name)?.context("no move")?;
        let next = Move { step, at: Timestamp::now().to_string(), ..moving };
        self.tell(name, &json!({ MOVE: serde_json::to_string(&next)? }))
    }

    /// Evicts a pod, once.
    ///
    /// # Errors
    /// There is no answer.
    pub fn evict(&self, name: &str) -> Result<Evicted> {
        self.evict_by(name, "")
    }

    /// Asks what would be.
    ///
    /// # Errors
    /// There is no answer.
    pub fn try_to_evict(&self, name: &str) -> Result<Evicted> {
        self.evict_by(name, "?dryRun=All")
    }

    fn evict_by(&self, name: &str, query: &str) -> Result<Evicted> {
        let namespace = self.release.namespace();
        self.release.plane.api().block_on(self.evictor.evict(namespace, name, query))
    }

    /// Evicts a pod, which is held up.
    ///
    /// # Errors
    /// It is not.
    pub fn is_held(&self, name: &str) -> Result<Evicted> {
        let answer = self.evict(name)?;
        let waits = answer.retry_after.is_some_and(|time| time <= Duration::from_secs(2));
        ensure!(
            answer.code == 429 && waits && answer.message.contains("evict.crik.dev"),
            "{name}: {answer:?}"
        );
        Ok(answer)
    }

    /// Evicts a pod, which is let go.
    ///
    /// # Errors
    /// It is not.
    pub fn is_let_go(&self, name: &str) -> Result<()> {
        let answer = self.evict(name)?;
        ensure!(answer.is_allowed(), "{name}: {answer:?}");
        Ok(())
    }

    /// Evicts a pod until the controller knows what was written on it, and lets it go for this reason.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn becomes_free(&self, name: &str) -> Result<()> {
        wait_for(&format!("{name} to be let go"), || self.evict(name).ok().filter(Evicted::is_allowed))
            .map(drop)
    }

    /// A controller that is asked about evictions.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn controller(&self, flags: &[&str]) -> Result<Controller> {
        let controller = self.release.controller(flags)?;
        self.is_asked(&controller, "asked")?;
        Ok(controller)
    }

    /// Waits until a controller is asked about evictions, by those of a pod that is made for it.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn is_asked(&self, controller: &Controller, pod: &str) -> Result<()> {
        self.create(pod, "nowhere", &json!({}))?;
        wait_for("the controller to be asked about evictions", || {
            self.try_to_evict(pod).ok()?;
            controller.metric("crik_evictions_total{result=\"unprotected\"}").ok()
        })
        .map(drop)
        .with_context(|| controller.log())
    }

    /// Waits until the controller knows that a pod's agent can be heard, by a dry run.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn is_known(&self, name: &str) -> Result<()> {
        wait_for(&format!("{name} to be known"), || {
            let answer = self.try_to_evict(name).ok()?;
            answer.warnings.contains("the eviction would wait").then_some(())
        })
    }
}

/// How long evictions of the pod may be held up.
pub fn deadline(text: &str) -> Value {
    json!({ EVICTION_DEADLINE: text, PROTECTION: r#"{"protected":true}"# })
}
