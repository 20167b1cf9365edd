//! What a start is given, and what comes of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crik_store::generation::clock_facts::Installed;
use crik_store::generation::keys::GenerationKeys;
use crik_store::image_dir::Generation;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::pod::Pod;

use crate::carry::program_files::Programs;
use crate::config::Config;

/// What a start is given.
#[derive(Debug)]
pub struct Workload {
    /// The configuration.
    pub config: Config,
    /// The keys to generations.
    pub keys: GenerationKeys,
    /// The application's command line.
    pub command: Vec<OsString>,
    /// This pod.
    pub pod: Pod,
}

/// A tree that runs.
#[derive(Debug)]
pub struct RunningTree {
    /// Its root.
    pub root: i32,
    /// The program of the root.
    pub init: PathBuf,
    /// Processes that the restore put outside the tree; none, unless something went wrong.
    pub strays: Vec<i32>,
    /// The generation from which it was resumed.
    pub resumed: Option<Generation>,
    /// Whether it goes on where the node's state is no news: where its checkpoint ended it, or where nothing could be resumed.
    pub stayed: bool,
    /// The image directory, if this pod holds it.
    pub hold: Option<Arc<Hold>>,
    /// Whether another pod went on with the work when it was started: then it takes no checkpoints.
    pub beside_another: bool,
    /// The files that it was started from.
    pub programs: Programs,
    /// The library that keeps its clocks going, if it was started with one.
    pub library: Option<Installed>,
    /// For how long it has run.
    pub life: Life,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a tree comes from, for who is told of its start.
#[derive(Debug, Default)]
pub struct Origin {
    /// The node of the checkpoint that it goes on from.
    pub node: Option<String>,
    /// For how long it had run there since it was last started or resumed.
    pub saved: Duration,
    /// Newer generations that were passed over, and why.
    pub skipped: Vec<(Generation, String)>,
    /// Why nothing was resumed, where there may have been something.
    pub why_fresh: Option<String>,
}

/// For how long a program has run, over all its lives.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    before: Duration,
    since: Instant,
}

impl Life {
    /// One that goes on now, after this long in former lives.
    #[must_use]
    pub fn after(before: Duration) -> Self {
        Self { before, since: Instant::now() }
    }

    /// Until now.
    #[must_use]
    pub fn so_far(&self) -> Duration {
        self.before + self.since_start()
    }

    /// The same without its former lives.
    #[must_use]
    pub fn since_start(&self) -> Duration {
        self.since.elapsed()
    }

    /// When it began or went on here.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.since
    }
}
