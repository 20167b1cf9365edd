//! One who reports as the agent of a pod does, and what it may have to tell.

use anyhow::{Context as _, Result, ensure};
use crik_api::report::{Checkpointed, Occasion, Report, ReportId, Resumed, Skipped, ToldProtection, What};
use crik_tests::control_plane::{ControlPlane, PatchKind, TokenRequest};
use crik_tests::controller::Controller;
use crik_tests::http::{Answer, post_as};
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{APP, PODS};

/// One who reports as the agent of a pod does.
pub struct Agent<'a> {
    /// Where it is.
    pub plane: &'a ControlPlane,
    /// Its pod, in the namespace `default`.
    pub pod: String,
    /// The pod's token.
    pub token: String,
}

impl<'a> Agent<'a> {
    /// That of a new pod on the node, where no kubelet is in the way.
    pub fn of(plane: &'a ControlPlane, pod: &str, spec: &Value) -> Result<Self> {
        plane.api().create_all(&[labelled(pod, spec)])?;
        let token = plane.token(APP, TokenRequest { audience: "crik", pod, seconds: 0 })?;
        Ok(Self { plane, pod: pod.to_owned(), token })
    }

    pub fn url(&self, controller: &Controller) -> String {
        controller.url(&format!("/v1/pods/default/{}/reports", self.pod))
    }

    pub fn post(&self, controller: &Controller, text: &str) -> Result<Answer> {
        post_as(&self.token, &self.url(controller), text)
    }

    pub fn send(&self, controller: &Controller, number: u64, what: What) -> Result<Answer> {
        self.post(controller, &text(number, what))
    }

    /// Reports, and expects that it is taken, perhaps after others that came at once.
    pub fn tells(&self, controller: &Controller, number: u64, what: What) -> Result<()> {
        let answer = wait_for("its turn", || {
            self.send(controller, number, what.clone()).ok().filter(|answer| answer.status != 429)
        })?;
        ensure!(answer.status == 204, "{} {}\n{}", answer.status, answer.body, controller.log());
        Ok(())
    }

    pub fn object(&self) -> Result<Value> {
        self.plane.api().get(&format!("{PODS}/{}", self.pod))
    }

    /// What an annotation of the pod says; null if it is not there.
    pub fn says(&self, name: &str) -> Result<Value> {
        let text = self.object()?["metadata"]["annotations"][name].clone();
        text.as_str().map_or(Ok(Value::Null), |text| Ok(serde_json::from_str(text)?))
    }

    pub fn annotate(&self, name: &str, text: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {name: text}}});
        self.plane.api().patch(&format!("{PODS}/{}", self.pod), PatchKind::Merge, &patch).map(drop)
    }

    /// The Events of the pod, each as its reason and type, the oldest first.
    pub fn events(&self) -> Result<Vec<(String, String)>> {
        let list = self.plane.api().get("/api/v1/namespaces/default/events")?;
        let uid = self.object()?["metadata"]["uid"].clone();
        let mut own: Vec<&Value> = list["items"].as_array().context("no list")?.iter().collect();
        own.retain(|event| event["involvedObject"]["uid"] == uid);
        own.sort_by_key(|event| {
            event["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse::<u64>().ok())
        });
        let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        Ok(own.into_iter().map(|event| (word(event, "reason"), word(event, "type"))).collect())
    }

    pub fn has_events(&self, expected: &[(&str, &str)]) -> Result<()> {
        let found = self.events()?;
        let found: Vec<(&str, &str)> = found.iter().map(|(reason, kind)| (&**reason, &**kind)).collect();
        ensure!(found == expected, "{found:?}");
        Ok(())
    }
}

pub fn labelled(name: &str, spec: &Value) -> Value {
    let mut all = json!({"serviceAccountName": "app", "nodeName": "a", "containers": [{"name": "app", "image": "app"}]});
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    json!({"kind": "Pod", "metadata": {"name": name, "labels": {"crik.dev/inject": "true"}}, "spec": all})
}

pub fn text(number: u64, what: What) -> String {
    let id = ReportId { began: 1_795_000_000_000, number };
    let report = Report { id, seconds_ago: 1.0, node: "a".to_owned(), what };
    serde_json::to_string(&report).unwrap_or_default()
}

pub fn examined(protected: bool) -> What {
    What::Examined(ToldProtection { protected, why: (!protected).then(|| "no volume".to_owned()) })
}

pub fn checkpointed(generation: u64, occasion: Occasion) -> What {
    What::Checkpointed(Checkpointed {
        generation,
        occasion,
        frozen_seconds: 0.25,
        durable_seconds: 1.5,
        bytes: 3000,
        stored_bytes: 2000,
        new_bytes: 1000,
    })
}

pub fn failed(occasion: Occasion) -> What {
    What::NotCheckpointed { occasion, why: "the volume is full".to_owned() }
}

pub fn resumed() -> What {
    let skipped = vec![Skipped { generation: 8, why: "another kernel".to_owned() }];
    What::Resumed(Resumed {
        generation: 7,
        seconds: 2.0,
        saved_seconds: 3600.0,
        from: Some("b".to_owned()),
        skipped,
    })
}
