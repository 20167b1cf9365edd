//! What is to be frozen.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use crik_store::generation::clock_facts::Installed;
use crik_store::generation::keys::GenerationKeys;
use crik_store::generation::streams::Proven;

use super::stopped::Stopped;
use crate::base::headway::Headway;
use crate::carry::files::Carrying;
use crate::config::{LoopbackConnections, UnixConnections};
use crate::tree::criu::Leave;

/// What streams are stored with.
#[derive(Debug, Clone, Default)]
pub struct Streaming {
    /// The keys to generations.
    pub keys: GenerationKeys,
    /// Of which generations chunks are not stored again.
    pub proven: Proven,
    /// How many bytes a second the volume takes, if that is known.
    pub volume: Option<f64>,
    /// How many bytes came so far.
    pub came: Arc<AtomicU64>,
}

/// What to freeze, and what goes with it.
#[derive(Debug, Clone)]
pub struct FreezeRequest {
    /// The tree's root.
    pub root: i32,
    /// The program of the root.
    pub init: PathBuf,
    /// The library that keeps its clocks going.
    pub library: Option<Installed>,
    /// Processes of the application that are outside its tree.
    pub strays: Vec<i32>,
    /// What the tree finds of its connections over UNIX sockets to other containers when it is resumed.
    pub unix_connections: UnixConnections,
    /// What becomes of connections over loopback within the tree.
    pub loopback_connections: LoopbackConnections,
    /// Paths that are removed before the dump, if the application does not need them any more.
    pub inotify_incompatible_paths: Vec<PathBuf>,
    /// Files of the container that go with it.
    pub carrying: Arc<Carrying>,
    /// How memory is kept, in streams or as CRIU writes it.
    pub streaming: Option<Streaming>,
    /// What becomes of the tree afterwards.
    pub leave: Leave,
    /// Given up when the dump would come too late.
    pub headway: Arc<Headway>,
    /// The tree from the beginning of the dump on, to be let go by whoever gives it up: what writes to the volume beside CRIU may hang,
    /// and CRIU, when it is killed or done, leaves the tree stopped.
    pub standing: Arc<Mutex<Option<Stopped>>>,
}
