//! What may stand in a nodes file: Node objects as YAML documents, or in a List or NodeList, as `kubectl get nodes -o
//! yaml` writes it. An empty file has no nodes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::signals::{Node, Object};

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}; it is used as soon as it can be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not YAML of Node objects.
    #[error("{path} is not a list of Node objects: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why not, with the line.
        source: serde_yaml::Error,
    },
    /// A document is of another kind.
    #[error("{path} has an object of kind {kind:?}; only Node, NodeList and List are understood")]
    Kind {
        /// The file.
        path: PathBuf,
        /// The kind.
        kind: String,
    },
    /// A Node has no name.
    #[error("{path} has a Node without metadata.name")]
    Nameless {
        /// The file.
        path: PathBuf,
    },
    /// Two Nodes have one name, so that its state would depend on their order.
    #[error("{path} has the Node {name:?} twice; remove one")]
    Twice {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
}

/// The kind of a document, and those of its items.
#[derive(Deserialize)]
struct Kinds {
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
}

/// Items of a NodeList come from the API server without a kind.
#[derive(Deserialize)]
struct Item {
    #[serde(default = "node_kind")]
    kind: String,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Object>,
}

/// The nodes in a file of this text; `path` is for errors.
///
/// # Errors
/// It is no list of Nodes, and where that shows.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Node>, FileError> {
    let wrong = |source| FileError::Parse { path: path.into(), source };
    let mut objects = Vec::new();
    // The text is read twice, since only a reader that knows the type beforehand can say the line of an error.
    let kinds = serde_yaml::Deserializer::from_str(text);
    for (kinds, document) in kinds.zip(serde_yaml::Deserializer::from_str(text)) {
        let Some(kinds) = Option::<Kinds>::deserialize(kinds).map_err(wrong)? else { continue };
        match checked(path, kinds)?.as_str() {
            "Node" => objects.push(Object::deserialize(document).map_err(wrong)?),
            _ => objects.extend(List::deserialize(document).map_err(wrong)?.items),
        }
    }
    named_once(path, objects.into_iter().map(Node::from).collect())
}

/// The kind of a document, if it and its items are ours.
fn checked(path: &Path, kinds: Kinds) -> Result<String, FileError> {
    let foreign = match &*kinds.kind {
        "Node" => None,
        "List" | "NodeList" => kinds.items.into_iter().map(|item| item.kind).find(|kind| kind != "Node"),
        other => Some(other.to_owned()),
    };
    foreign.map_or(Ok(kinds.kind), |kind| Err(FileError::Kind { path: path.into(), kind }))
}

fn named_once(path: &Path, nodes: Vec<Node>) -> Result<Vec<Node>, FileError> {
    let mut names = BTreeSet::new();
    for node in &nodes {
        if node.name.is_empty() {
            return Err(FileError::Nameless { path: path.into() });
        }
        if !names.insert(&*node.name) {
            return Err(FileError::Twice { path: path.into(), name: node.name.clone() });
        }
    }
    Ok(nodes)
}

fn node_kind() -> String {
    "Node".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let nodes = parse(Path::new("nodes.yaml"), text).map_err(|error| error.to_string())?;
        Ok(nodes.into_iter().map(|node| node.name).collect())
    }

    #[test]
    fn documents_and_lists_are_understood() {
        let documents = "kind: Node\nmetadata: {name: a}\n---\nkind: Node\nmetadata: {name: b}\n";
        assert_eq!(names(documents).unwrap(), ["a", "b"]);
        let list = "apiVersion: v1\nkind: List\nitems: [{kind: Node, metadata: {name: a}}]";
        assert_eq!(names(list).unwrap(), ["a"]);
        assert_eq!(names("kind: NodeList\nitems: [{metadata: {name: a}}]").unwrap(), ["a"]);
        assert!(names("").unwrap().is_empty() && names("# none yet\n---\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(names("kind: Pod").unwrap_err().contains("kind \"Pod\"; only Node, NodeList and List"));
        assert!(names("kind: List\nitems: [{kind: Pod}]").unwrap_err().contains("kind \"Pod\""));
        assert!(names("kind: List\nitmes: []").unwrap_err().contains("items"));
        assert!(names("kind: Node").unwrap_err().contains("without metadata.name"));
        let one = "kind: Node\nmetadata: {name: a}\n";
        assert!(names(&format!("{one}---\n{one}")).unwrap_err().contains("the Node \"a\" twice"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert!(names("a: [").unwrap_err().contains("at line 2"));
        let second = "kind: Node\nmetadata: {name: a}\n---\nkind: Node\nspec:\n  unschedulable: maybe\n";
        assert!(names(second).unwrap_err().contains("at line 6"));
        let item = "kind: List\nitems:\n- kind: Node\n  metadata: {name: [1]}\n";
        assert!(names(item).unwrap_err().contains("at line 4"));
    }
}
