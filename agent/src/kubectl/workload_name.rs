//! Which workload is meant, as kubectl's users write it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Pods with names of their own, each with its own place.
    StatefulSet,
    /// Pods with ever new names.
    Deployment,
    /// The same, until they are done.
    Job,
}

/// Which workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadName {
    kind: Kind,
    name: String,
}

/// It is something else.
#[derive(Debug, Error)]
#[error("{0} is none of statefulset/NAME, deployment/NAME or job/NAME")]
pub struct NoWorkload(String);

impl FromStr for WorkloadName {
    type Err = NoWorkload;

    /// With the names that kubectl takes.
    fn from_str(text: &str) -> Result<Self, NoWorkload> {
        let unknown = || NoWorkload(text.to_owned());
        let (kind, name) = text.split_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(unknown)?;
        let kind = match kind.to_ascii_lowercase().split('.').next().unwrap_or_default() {
            "statefulset" | "statefulsets" | "sts" => Kind::StatefulSet,
            "deployment" | "deployments" | "deploy" => Kind::Deployment,
            "job" | "jobs" => Kind::Job,
            _ => return Err(unknown()),
        };
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl WorkloadName {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name among those of its kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kubectl calls its kind.
    pub fn resource(&self) -> &'static str {
        match self.kind {
            Kind::StatefulSet => "statefulset",
            Kind::Deployment => "deployment",
            Kind::Job => "job",
        }
    }

    /// What the API calls its kind, and the group of that.
    pub fn in_api(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::StatefulSet => ("statefulsets", "apps"),
            Kind::Deployment => ("deployments", "apps"),
            Kind::Job => ("jobs", "batch"),
        }
    }
}

impl Display for WorkloadName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.resource(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_names_that_kubectl_takes() {
        for name in ["sts/x", "StatefulSet/x", "statefulsets.apps/x"] {
            assert_eq!(name.parse::<WorkloadName>().unwrap().to_string(), "statefulset/x");
        }
        assert!("pod/x".parse::<WorkloadName>().is_err() && "job/".parse::<WorkloadName>().is_err());
    }
}
