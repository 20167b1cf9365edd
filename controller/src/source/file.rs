//! A YAML file of Node objects, for machines without a cluster.
//!
//! It is read again when it changes. As long as it is missing or wrong, what was read before stays, marked as stale;
//! before it was first read, nothing is served. Replace it by a rename, or write it in place and close it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::nodes_file::{FileError, parse};
use crate::event::Event;
use crate::file_watch::FileWatch;
use crate::node::Node;
use crate::signals::Signals;

/// Reads the file now and whenever it changes.
pub async fn run(path: PathBuf, signals: Arc<Signals>, mut tell: impl FnMut(Event)) {
    let mut watch = FileWatch::new("nodes file", path);
    let mut good = None;
    loop {
        watch.set(good.is_some());
        if let Some(event) = read(watch.path(), &signals, &mut good) {
            tell(event);
        }
        watch.changed(good.is_some()).await;
    }
}

/// Reads the file; none if it has the `good` text of last time.
fn read(path: &Path, signals: &Signals, good: &mut Option<String>) -> Option<Event> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read { path: path.into(), source });
    if matches!((&text, &*good), (Ok(text), Some(good)) if text == good) {
        return None;
    }
    match text.and_then(|text| Ok((parse(path, &text)?, text))) {
        Ok((nodes, text)) => {
            *good = Some(text);
            let seen = |node: &Node| (node.name.as_str().into(), signals.observe(node));
            Some(Event::Listed(nodes.iter().map(seen).collect()))
        }
        Err(error) => {
            *good = None;
            Some(Event::Lost(error.to_string()))
        }
    }
}
