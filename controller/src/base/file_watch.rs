//! Tells when a file may be another, whoever writes it: by a rename, in place, or through the links of a volume that the
//! kubelet swaps. File systems that tell nothing are covered by looking every so often.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{sleep, timeout};

use crate::base::complaint::Complaint;
use crate::base::limits;

/// A watch of a file's directory: a file that is replaced by name is another file, and a ConfigMap's is behind links.
pub struct FileWatch {
    /// What the file is, for the log.
    what: &'static str,
    path: PathBuf,
    told: Sender<()>,
    changes: Receiver<()>,
    was_told: bool,
    watcher: Option<RecommendedWatcher>,
    complaint: Complaint,
}

impl FileWatch {
    /// One that does not watch yet; `what` names the file in the log.
    pub fn new(what: &'static str, path: PathBuf) -> Self {
        let (told, changes) = mpsc::channel(1);
        Self { what, path, told, changes, was_told: false, watcher: None, complaint: Complaint::default() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody told of the last change. Otherwise it may have been read in the middle of being written.
    pub fn was_told(&self) -> bool {
        self.was_told
    }

    /// Watches from now on. Called before each reading, so that no change falls between the two; `good` says whether the
    /// last one was. A directory that was replaced is another one, whose watch tells nothing, so unless there is a sign
    /// that it works the watch is begun anew.
    pub fn set(&mut self, good: bool) {
        if good && self.was_told {
            return;
        }
        match watcher(&self.path, self.told.clone()) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => self.complain(&error.to_string()),
        }
    }

    /// Waits until the file may be another, or it is time to look.
    pub async fn changed(&mut self, good: bool) {
        let sure = good && self.watcher.is_some();
        let pause = if sure { limits::FILE_RECHECK } else { limits::FILE_RETRY };
        self.was_told = timeout(pause, self.changes.recv()).await.is_ok();
        if self.was_told {
            // What comes in a burst is read once.
            sleep(limits::FILE_SETTLE).await;
            while self.changes.try_recv().is_ok() {}
        }
    }

    fn complain(&mut self, why: &str) {
        self.watcher = None;
        if self.complaint.is_news(Some(why)) {
            let (what, every) = (self.what, limits::FILE_RETRY);
            tracing::warn!("cannot watch the directory of the {what}, so it is read every {every:?}: {why}");
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
