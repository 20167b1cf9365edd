//! A YAML file of Node objects, for machines without a cluster.
//!
//! The file holds Node objects as YAML documents or in a List, and may be empty. It is read again when it changes. As
//! long as it is missing or wrong, what was read before stays, marked as stale; before it was first read, nothing is
//! served.

use std::path::{Path, PathBuf};
use std::{fs, io};

use k8s_openapi::api::core::v1::Node as Object;
use notify::{RecursiveMode, Watcher};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::mpsc::{self, Sender};

use crate::index::Event;
use crate::limits;
use crate::node::Node;

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
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
        /// Why not, with the place.
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
}

/// Reads the file now and whenever it changes, until nobody listens.
pub async fn run(path: PathBuf, events: Sender<Event>) {
    let (told, mut changes) = mpsc::channel(1);
    let mut watcher = None;
    loop {
        if watcher.is_none() {
            watcher = watch(&path, told.clone());
        }
        let event = match read(&path) {
            Ok(nodes) => Event::Listed(nodes),
            Err(error) => Event::Lost(error.to_string()),
        };
        if events.send(event).await.is_err() {
            return;
        }
        match watcher {
            Some(_) => drop(changes.recv().await),
            None => tokio::time::sleep(limits::FILE_RETRY).await,
        }
        // What comes in a burst is read once.
        tokio::time::sleep(limits::FILE_SETTLE).await;
        while changes.try_recv().is_ok() {}
    }
}

/// Watches the directory: a file that is replaced by name is another file, and a ConfigMap's is behind links.
fn watch(path: &Path, told: Sender<()>) -> Option<notify::RecommendedWatcher> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let handler = move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too, and would never end.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel has told already.
            let _ = told.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher.inspect_err(|error| tracing::warn!("cannot watch {}: {error}", directory.display())).ok()
}

/// The nodes in the file.
///
/// # Errors
/// It cannot be read or understood.
fn read(path: &Path) -> Result<Vec<Node>, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read { path: path.into(), source })?;
    parse(path, &text)
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<serde_yaml::Value>,
}

fn parse(path: &Path, text: &str) -> Result<Vec<Node>, FileError> {
    let mut nodes = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = serde_yaml::Value::deserialize(document).map_err(|source| FileError::Parse { path: path.into(), source })?;
        collect(path, value, &mut nodes)?;
    }
    Ok(nodes)
}

fn collect(path: &Path, value: serde_yaml::Value, nodes: &mut Vec<Node>) -> Result<(), FileError> {
    let wrong = |source| FileError::Parse { path: path.into(), source };
    if value.is_null() {
        return Ok(());
    }
    let Kind { kind } = serde_yaml::from_value(value.clone()).map_err(wrong)?;
    match &*kind {
        "Node" => {
            let node = Node::from(serde_yaml::from_value::<Object>(value).map_err(wrong)?);
            if node.name.is_empty() {
                return Err(FileError::Nameless { path: path.into() });
            }
            nodes.push(node);
            Ok(())
        }
        "List" | "NodeList" => {
            let Items { items } = serde_yaml::from_value(value).map_err(wrong)?;
            items.into_iter().try_for_each(|item| collect(path, item, nodes))
        }
        _ => Err(FileError::Kind { path: path.into(), kind }),
    }
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
        assert!(names("").unwrap().is_empty() && names("# none yet\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(names("kind: Pod").unwrap_err().contains("kind \"Pod\"; only Node, NodeList and List"));
        assert!(names("kind: Node").unwrap_err().contains("without metadata.name"));
        assert!(names("kind: Node\nmetadata: {name: [1]}").unwrap_err().contains("nodes.yaml is not a list"));
        assert!(names("a: [").unwrap_err().contains("line"));
    }
}
