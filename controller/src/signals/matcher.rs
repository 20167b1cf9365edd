//! What has to stand on a Node for a signal to be there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::node::{Node, Taint};
use crate::base::shortened::shortened;

/// A text of the table, or of a file.
pub type Text = Cow<'static, str>;

/// The effect of a taint that evicts pods which are there already.
pub const NO_EXECUTE: &str = "NoExecute";

/// Before the names of taints that Kubernetes itself writes (k8s.io/api/core/v1, `well_known_taints.go`).
const OWN: &str = "node.kubernetes.io/";

/// Tests that all have to hold.
pub type Tests = Cow<'static, [Test]>;

/// What has to stand on the Node.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// `spec.unschedulable` is true.
    Unschedulable,
    /// The Node is being deleted, and whoever set this finalizer has still to end its machine.
    Deleting { finalizer: Text },
    /// There is a taint with this key whose value passes, of this effect if one is given.
    Taint { key: Text, value: Tests, effect: Option<Text> },
    /// There is a taint of anybody but Kubernetes itself that evicts the pods which do not tolerate it.
    NoExecute,
    /// There is a label with this key whose value passes.
    Label { key: Text, value: Tests },
    /// There is an annotation with this key whose value passes.
    Annotation { key: Text, value: Tests },
    /// There is a condition of this type and status whose reason and message pass.
    Condition { kind: Text, status: Text, reason: Tests, message: Tests },
}

/// One test of a text.
#[derive(Debug, Clone)]
pub struct Test {
    /// What is compared.
    pub by: By,
    /// Those that it is compared to; one is enough.
    pub any: Cow<'static, [Text]>,
    /// True if it passes exactly when no one fits.
    pub negated: bool,
}

/// How a text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// It is the same.
    Equality,
    /// It begins with it.
    Start,
    /// It contains it.
    Content,
    /// It is the same as the value of the annotation with this key.
    Annotation,
}

impl Test {
    fn passes(&self, text: &str, node: &Node) -> bool {
        let fits = |wanted: &Text| match self.by {
            By::Equality => text == wanted,
            By::Start => text.starts_with(&**wanted),
            By::Content => text.contains(&**wanted),
            By::Annotation => node.annotations.get(&**wanted).is_some_and(|value| value == text),
        };
        self.any.iter().any(fits) != self.negated
    }
}

impl Matcher {
    /// What stands on the Node, in words a person can search for, if it is this.
    pub fn observed(&self, node: &Node) -> Option<String> {
        let pass = |tests: &Tests, text: &str| tests.iter().all(|test| test.passes(text, node));
        let found = match self {
            Self::Unschedulable => node.unschedulable.then(|| "spec.unschedulable".to_owned()),
            Self::Deleting { finalizer } => {
                let held = node.deleting && node.finalizers.iter().any(|held| held == finalizer);
                held.then(|| format!("metadata.deletionTimestamp, held by the finalizer {finalizer}"))
            }
            Self::Taint { key, value, effect } => {
                let of_effect = |taint: &Taint| effect.as_ref().is_none_or(|effect| taint.effect == *effect);
                let fits =
                    |taint: &&Taint| taint.key == *key && pass(value, &taint.value) && of_effect(taint);
                node.taints.iter().find(fits).map(|taint| format!("taint {taint}"))
            }
            Self::NoExecute => {
                let evicts = |taint: &&Taint| taint.effect == NO_EXECUTE && !taint.key.starts_with(OWN);
                node.taints.iter().find(evicts).map(|taint| format!("taint {taint}"))
            }
            Self::Label { key, value } => entry("label", &node.labels, key, |text| pass(value, text)),
            Self::Annotation { key, value } => {
                entry("annotation", &node.annotations, key, |text| pass(value, text))
            }
            Self::Condition { kind, status, reason, message } => {
                let mut of_kind = node.conditions.iter().filter(|c| c.kind == *kind && c.status == *status);
                let found = of_kind.find(|c| pass(reason, &c.reason) && pass(message, &c.message))?;
                Some(format!("condition {kind}={status}, {}: {}", found.reason, found.message))
            }
        };
        found.map(shortened)
    }
}

fn entry(
    word: &str,
    entries: &BTreeMap<String, String>,
    key: &str,
    passes: impl Fn(&str) -> bool,
) -> Option<String> {
    let value = entries.get(key).filter(|value| passes(value))?;
    Some(format!("{word} {key}={value}"))
}
