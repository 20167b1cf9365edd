//! A YAML file of Node objects, for machines without a cluster.
//!
//! It is read again when it changes. As long as it is missing or wrong, what was read before stays, marked as stale;
//! before it was first read, nothing is served. Replace it by a rename, or write it in place and close it.

use std::fs;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{sleep, timeout};

use super::nodes_file::{FileError, parse};
use crate::event::Event;
use crate::limits;

/// Reads the file now and whenever it changes, until nobody listens.
pub async fn run(path: PathBuf, events: Sender<Event>) {
    let (told, mut changes) = mpsc::channel(1);
    let mut watch = Watch { told, path, watcher: None, complaint: String::new() };
    let mut good = None;
    loop {
        // A directory that was replaced is another one, and only failing shows it. Watched before it is read, so that
        // no change falls between the two.
        if good.is_none() || watch.watcher.is_none() {
            watch.set();
        }
        if let Some(event) = read(&watch.path, &mut good)
            && events.send(event).await.is_err()
        {
            return;
        }
        let sure = good.is_some() && watch.watcher.is_some();
        let pause = if sure { limits::FILE_RECHECK } else { limits::FILE_RETRY };
        if timeout(pause, changes.recv()).await.is_ok() {
            // What comes in a burst is read once.
            sleep(limits::FILE_SETTLE).await;
            while changes.try_recv().is_ok() {}
        }
    }
}

/// Reads the file; none if it has the `good` text of last time.
fn read(path: &Path, good: &mut Option<String>) -> Option<Event> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read { path: path.into(), source });
    if matches!((&text, &*good), (Ok(text), Some(good)) if text == good) {
        return None;
    }
    match text.and_then(|text| Ok((parse(path, &text)?, text))) {
        Ok((nodes, text)) => {
            *good = Some(text);
            Some(Event::Listed(nodes))
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
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match watcher(directory.unwrap_or(Path::new(".")), self.told.clone()) {
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

fn watcher(directory: &Path, told: Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !completes(&event)) {
            return;
        }
        // A full channel has told already.
        let _ = told.try_send(());
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Whether a file may be complete now. One that is written in place is empty at first, and an empty file would mean
/// that all nodes are gone; it is complete when its writer closes it. Our own reading is an event too.
fn completes(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => false,
        EventKind::Create(_) => event.paths.iter().any(|path| path.is_symlink()),
        _ => true,
    }
}
