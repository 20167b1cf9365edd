//! Which right somebody lacks, as the API server says.

use std::fmt::{self, Display, Formatter};

/// A right that something will need.
#[derive(Debug, Clone, Copy)]
pub struct Right<'a> {
    /// What is to be done.
    pub verb: &'static str,
    /// With what, as the API calls it.
    pub resource: &'static str,
    /// Its group there.
    pub group: &'static str,
    /// With which of them, if not with many.
    pub name: Option<&'a str>,
    /// Where.
    pub namespace: &'a str,
}

impl Right<'_> {
    /// Its resource and its name, as kubectl takes them.
    fn whose(&self) -> String {
        let Self { resource, group, name, .. } = self;
        let dot = if group.is_empty() { "" } else { "." };
        let name = name.map(|name| format!("/{name}")).unwrap_or_default();
        format!("{resource}{dot}{group}{name}")
    }

    /// The question whether one has it.
    pub fn asked(&self) -> Vec<String> {
        let namespace = format!("--namespace={}", self.namespace);
        ["auth", "can-i", self.verb, &self.whose(), &namespace].map(str::to_owned).to_vec()
    }

    /// That one has not, in words, and the rule that would give it.
    pub fn is_lacking(&self) -> (String, LackingRight) {
        let Self { verb, resource, group, namespace, .. } = *self;
        let said = format!("you may not {verb} {} in the namespace {namespace}", self.whose());
        let [verb, resource, group, namespace] = [verb, resource, group, namespace].map(str::to_owned);
        let lacking = LackingRight { verb, resource, group, namespace: Some(namespace) };
        (said, lacking)
    }
}

/// A rule that a Role would need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingRight {
    verb: String,
    resource: String,
    group: String,
    namespace: Option<String>,
}

impl LackingRight {
    /// Reads it from what kubectl says: `User "u" cannot list resource "pods" in API group "" in the namespace "n"`, or `at the cluster
    /// scope` (k8s.io/apiserver, endpoints/handlers/responsewriters/errors.go).
    pub fn told(said: &str) -> Option<Self> {
        let (_, said) = said.split_once(" cannot ")?;
        let (verb, rest) = said.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace = rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"'));
        let [verb, resource, group] = [verb, resource, group].map(str::to_owned);
        Some(Self { verb, resource, group, namespace: namespace.map(|(name, _)| name.to_owned()) })
    }
}

impl Display for LackingRight {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, group, namespace } = self;
        let role = match namespace {
            Some(namespace) => format!("a Role in the namespace {namespace}"),
            None => "a ClusterRole".to_owned(),
        };
        write!(
            formatter,
            "it takes {role} with {{apiGroups: ['{group}'], resources: [{resource}], verbs: [{verb}]}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_told_as_a_rule() {
        let told = LackingRight::told(
            "Error from server (Forbidden): pods \"job-0\" is forbidden: User \"eve\" cannot create resource \
             \"pods/exec\" in API group \"\" in the namespace \"jobs\"",
        );
        assert_eq!(
            told.unwrap().to_string(),
            "it takes a Role in the namespace jobs with {apiGroups: [''], resources: [pods/exec], verbs: [create]}"
        );
        let told = LackingRight::told(
            "nodes is forbidden: User \"eve\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
        );
        let expected = "it takes a ClusterRole with {apiGroups: [''], resources: [nodes], verbs: [list]}";
        assert_eq!(told.unwrap().to_string(), expected);
    }

    #[test]
    fn a_right_is_asked_for_in_kubectls_words() {
        let right =
            Right { verb: "patch", resource: "jobs", group: "batch", name: Some("sum"), namespace: "jobs" };
        assert_eq!(right.asked(), ["auth", "can-i", "patch", "jobs.batch/sum", "--namespace=jobs"]);
    }

    #[test]
    fn another_error_lacks_none() {
        assert_eq!(LackingRight::told("Error from server (NotFound): pods \"x\" not found"), None);
        assert_eq!(LackingRight::told("it cannot be"), None);
    }
}
