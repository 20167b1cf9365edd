//! What a person has to write, and where, to be rid of what stands in the way: a remedy that can be copied.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where it is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Below `spec` of the pod, or of the template that pods are made from.
    Pod,
    /// Below the container in it.
    Container,
    /// In crik's own configuration.
    Config,
    /// Below `spec` of the volume's claim.
    Claim,
    /// In what the container's image is built from.
    Dockerfile,
    /// In a shell in this container.
    Shell,
    /// In a shell on the node.
    Node,
}

impl Place {
    /// As a comment behind the line.
    fn comment(self) -> &'static str {
        match self {
            Self::Pod => "below spec: of the pod (or of its template)",
            Self::Container => "below the container, in the pod's spec",
            Self::Config => "in config.yaml of crik's ConfigMap",
            Self::Claim => "below spec: of the PersistentVolumeClaim",
            Self::Dockerfile => "in the Dockerfile of the container's image",
            Self::Shell => "in this container",
            Self::Node => "as root on the node",
        }
    }
}

/// One line to be written. What it says of a list or a map is all that has to be in it; what else is in it may stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// Where.
    #[serde(rename = "in")]
    pub place: Place,
    /// What: YAML in one line, or a command.
    pub line: String,
}

impl Edit {
    /// This line, there.
    pub fn new(place: Place, line: impl Into<String>) -> Self {
        Self { place, line: line.into() }
    }

    /// The capabilities that crik needs of every pod, and these.
    #[must_use]
    pub fn capabilities(more: &[&str]) -> Self {
        let mut all = vec!["CHECKPOINT_RESTORE", "SYS_PTRACE"];
        all.extend(more.iter().filter(|name| !all.contains(name)).copied().collect::<Vec<_>>());
        Self::new(
            Place::Container,
            format!("securityContext: {{capabilities: {{add: [{}]}}}}", all.join(", ")),
        )
    }

    /// A container that runs as root.
    #[must_use]
    pub fn root() -> Self {
        Self::new(Place::Container, "securityContext: {runAsUser: 0, runAsNonRoot: false}")
    }

    /// What is at these paths goes along.
    pub fn goes_along<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let paths: Vec<String> = paths.into_iter().map(|path| quoted(&path.to_string_lossy())).collect();
        Self::new(Place::Config, format!("additionalPaths: [{}]", paths.join(", ")))
    }

    /// CRIU and crik as they are in the image that belongs to this program.
    #[must_use]
    pub fn agent_image() -> Self {
        Self::new(Place::Dockerfile, concat!("COPY --from=crik-agent:", env!("CARGO_PKG_VERSION"), " / /"))
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  # {}", self.line, self.place.comment())
    }
}

/// `text` as it stands in a list or a map in one line of YAML, of which JSON is a part.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_yaml_with_the_place_behind_it() {
        let edit = Edit::capabilities(&["NET_ADMIN", "SYS_PTRACE"]);
        let read: serde_yaml::Value = serde_yaml::from_str(&edit.to_string()).unwrap();
        let added = &read["securityContext"]["capabilities"]["add"];
        assert_eq!(added.as_sequence().unwrap().len(), 3);
        assert!(edit.to_string().ends_with("# below the container, in the pod's spec"));
    }

    #[test]
    fn any_path_can_stand_in_a_list() {
        let path = "/tmp/a, \"b\": {c}";
        let read: Vec<String> = serde_yaml::from_str(&format!("[{}]", quoted(path))).unwrap();
        assert_eq!(read, [path]);
    }
}
