//! A YAML file of Node objects, for machines without a cluster.
//!
//! It is read again when it changes. As long as it is missing or wrong, what was read before stays, marked as stale;
//! before it was first read, nothing is served. Replace it by a rename, or write it in place and close it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{sleep, timeout};

use super::nodes_file::{FileError, parse};
use crate::event::Event;
use crate::limits;
use crate::node::Node;
use crate::signals::Signals;

/// Reads the file now and whenever it changes, until nobody listens.
pub async fn run(path: PathBuf, signals: Arc<Signals>, events: Sender<Event>) {
    let (told, mut changes) = mpsc::channel(1);
    let mut watch = Watch { told, path, watcher: None, complaint: String::new() };
    let (mut good, mut was_told) = (None, false);
    loop {
        // A directory that was replaced is another one, whose watch tells nothing. Watched before it is read, so that no
        // change falls between the two.
        if good.is_none() || !was_told {
            watch.set();
        }
        if let Some(event) = read(&watch.path, &signals, &mut good)
            && events.send(event).await.is_err()
        {
            return;
        }
        let sure = good.is_some() && watch.watcher.is_some();
        let pause = if sure { limits::FILE_RECHECK } else { limits::FILE_RETRY };
        was_told = timeout(pause, changes.recv()).await.is_ok();
        if was_told {
            // What comes in a burst is read once.
            sleep(limits::FILE_SETTLE).await;
            while changes.try_recv().is_ok() {}
        }
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

/// A watch of the file's directory: a file that is replaced by name is another file, and a ConfigMap's is behind links.
struct Watch {
    path: PathBuf,
    told: Sender<()>,
    watcher: Option<RecommendedWatcher>,
    complaint: String,
}

impl Watch {
    /// Begins to watch, or begins anew.
    fn set(&mut self) {
        match watcher(&self.path, self.told.clone()) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => self.complain(&error.to_string()),
        }
    }

    fn complain(&mut self, why: &str) {
        self.watcher = None;
        if self.complaint != why {
            let every = limits::FILE_RETRY;
            tracing::warn!(
                "cannot watch the directory of the nodes file, so it is read every {every:?}: {why}"
            );
            why.clone_into(&mut self.complaint);
        }
    }
}

fn watcher(path: &Path, told: Sender<()>) -> notify::Result<RecommendedWatcher> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(OsStr::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !completes(&event, name.as_deref())) {
            return;
        }
        // A full channel has told already.
        let _ = told.try_send(());
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Whether the file may be complete and another now. One that is written in place is empty at first, and an empty file
/// would mean that all nodes are gone; it is complete when its writer closes it. Our own reading is an event too. Of
/// other files only links matter, which may be on the way to ours.
fn completes(event: &notify::Event, name: Option<&OsStr>) -> bool {
    let link = event.paths.iter().any(|path| path.is_symlink());
    let ours = event.paths.iter().any(|path| path.file_name() == name);
    match event.kind {
        EventKind::Access(kind) => ours && kind == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => false,
        EventKind::Create(_) => link,
        // Without a path it says that events were lost.
        _ => ours || link || event.paths.is_empty(),
    }
}
