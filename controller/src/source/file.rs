//! A YAML file of Node objects, for machines without a cluster.
//!
//! It is read again when it changes. As long as it is missing or wrong, what was read before stays, marked as stale;
//! before it was first read, nothing is served. Replace it by a rename, or write it in place and close it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use tokio::time::sleep;

use super::nodes_file::{FileError, parse};
use crate::base::file_watch::FileWatch;
use crate::base::limits;
use crate::event::Event;
use crate::signals::{Node, Signals};

/// Reads the file now and whenever it changes.
pub async fn run(path: PathBuf, signals: Arc<Signals>, mut tell: impl FnMut(Event)) {
    let mut watch = FileWatch::new("nodes file", path);
    let mut good = None;
    loop {
        watch.set(good.is_some());
        let text = fs::read_to_string(watch.path());
        if watch.was_told() || is_settled(&text, watch.path()).await {
            tell(read(text, watch.path(), &signals, &mut good));
        }
        watch.changed(good.is_some()).await;
    }
}

/// Whether the file is still what was read: one that is being written has no nodes for a moment, and they would all be gone.
async fn is_settled(text: &io::Result<String>, path: &Path) -> bool {
    sleep(limits::FILE_SETTLE).await;
    match (text, fs::read_to_string(path)) {
        (Ok(text), Ok(again)) => *text == again,
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// What the text of the file tells; that it is there if it is the `good` one of last time.
fn read(text: io::Result<String>, path: &Path, signals: &Signals, good: &mut Option<String>) -> Event {
    let text = text.map_err(|source| FileError::Read { path: path.into(), source });
    if matches!((&text, &*good), (Ok(text), Some(good)) if text == good) {
        return Event::Heard;
    }
    match text.and_then(|text| Ok((parse(path, &text)?, text))) {
        Ok((nodes, text)) => {
            *good = Some(text);
            let seen = |node: &Node| (node.name.as_str().into(), signals.observe(node));
            Event::Listed(nodes.iter().map(seen).collect())
        }
        Err(error) => {
            *good = None;
            Event::Lost(error.to_string())
        }
    }
}
