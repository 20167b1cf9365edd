//! What a program was started with besides its own files: its release, its environment, and the files of ConfigMaps and Secrets that
//! its command line names. A resumed program keeps all of it, also where its pod has something else by then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::generation::own_values::OwnValues;

/// What a pod gives a program. Of values there are hashes only, without the pod's own ones such as its address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodFacts {
    /// Its release, as the configuration calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// BLAKE3 of the value of each variable; earlier releases did not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// BLAKE3 of the files of ConfigMaps and their like among its arguments; earlier releases did not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_files: BTreeMap<String, String>,
}

impl PodFacts {
    /// The environment in the form that is kept. Variables that Kubernetes makes for each pod do not count.
    #[must_use]
    pub fn environment_of(
        variables: impl IntoIterator<Item = (String, String)>,
        own: &OwnValues,
    ) -> BTreeMap<String, String> {
        let counted = variables.into_iter().filter(|(name, value)| counts(name, value));
        counted.map(|(name, value)| (name, hash(own, &value))).collect()
    }

    /// Why a program of this release is not gone on with as the one of `here`. One that has no release may be any.
    pub fn is_of_another_release(&self, here: Option<&str>) -> Option<String> {
        let (theirs, ours) = (self.release.as_deref()?, here?);
        (theirs != ours).then(|| format!("it is of release {theirs}, and this pod is of {ours} (release)"))
    }

    /// What differs `here`, in words that name variables and files and no values; none if nothing does.
    pub fn differences(&self, here: &Self) -> Option<String> {
        let variables = differing(&self.environment, &here.environment);
        let files = differing(&self.pod_files, &here.pod_files);
        let told =
            |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", some(names)));
        let both = [told("the environment:", &variables), told("the contents of", &files)];
        let both: Vec<String> = both.into_iter().flatten().collect();
        (!both.is_empty()).then(|| both.join("; "))
    }
}

/// BLAKE3 of a text without the pod's own values.
pub fn hash(own: &OwnValues, text: &str) -> String {
    blake3::hash(own.taken_out_of(text).as_bytes()).to_hex().to_string()
}

/// The names of what is another one, new, or gone. Nothing is known of what was not told.
fn differing(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    if then.is_empty() {
        return Vec::new();
    }
    let gone = then.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name} (not here)"));
    let other = now.iter().filter_map(|(name, hash)| match then.get(name) {
        Some(before) if before == hash => None,
        Some(_) => Some(name.clone()),
        None => Some(format!("{name} (new)")),
    });
    other.chain(gone).collect()
}

fn some(names: &[String]) -> String {
    let told = names.iter().take(limits::PATHS_TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(limits::PATHS_TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// Not: what Kubernetes and its runtime set for each pod, and what tells of the Services that there were when the pod began
/// (`enableServiceLinks`), in the form of Docker's links; nor what is said to crik and not to the program.
fn counts(name: &str, value: &str) -> bool {
    let of_a_link = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let of_a_port =
        name.contains("_PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|kind| name.contains(kind));
    let of_a_service = name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || of_a_port;
    !name.starts_with("KUBERNETES_")
        && !["HOSTNAME", limits::CONFIG_VARIABLE].contains(&name)
        && !of_a_link
        && !of_a_service
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::own_values::Kind;

    fn facts(ip: &str, variables: &[(&str, &str)]) -> PodFacts {
        let own = OwnValues::new([(Kind::Ipv4, ip.to_owned())]);
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        PodFacts { environment: PodFacts::environment_of(variables, &own), ..PodFacts::default() }
    }

    #[test]
    fn only_what_the_pod_spec_says_counts() {
        let then = facts(
            "10.0.0.5",
            &[
                ("MODE", "a"),
                ("BIND", "10.0.0.5:80"),
                ("DB_SERVICE_HOST", "10.96.0.7"),
                ("DB_PORT", "tcp://10.96.0.7:5432"),
            ],
        );
        let now = facts(
            "10.1.0.9",
            &[
                ("MODE", "a"),
                ("BIND", "10.1.0.9:80"),
                ("KUBERNETES_PORT", "x"),
                ("HOSTNAME", "y"),
                ("Q_PORT_80_TCP_ADDR", "10.96.0.8"),
            ],
        );
        assert_eq!(then.differences(&now), None);
    }

    #[test]
    fn names_are_told_and_no_values() {
        let then = facts("10.0.0.5", &[("MODE", "secret-a"), ("OLD", "1"), ("SAME", "1")]);
        let now = facts("10.0.0.5", &[("MODE", "secret-b"), ("NEW", "1"), ("SAME", "1")]);
        assert_eq!(then.differences(&now).unwrap(), "the environment: MODE, NEW (new), OLD (not here)");
        assert!(!format!("{then:?}").contains("secret"));
        assert_eq!(PodFacts::default().differences(&now), None);
    }

    #[test]
    fn a_release_is_another_one_only_if_both_are_told() {
        let of =
            |release: Option<&str>| PodFacts { release: release.map(str::to_owned), ..PodFacts::default() };
        assert!(
            of(Some("v1"))
                .is_of_another_release(Some("v2"))
                .unwrap()
                .contains("release v1, and this pod is of v2")
        );
        for (then, here) in [(Some("v1"), Some("v1")), (None, Some("v2")), (Some("v1"), None)] {
            assert_eq!(of(then).is_of_another_release(here), None);
        }
    }
}
