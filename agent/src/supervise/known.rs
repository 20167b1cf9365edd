//! What the agent knows of its program and cannot be learned by who looks at the container from beside it.

use std::path::PathBuf;

use crik_store::generation::clock_facts::Installed;
use crik_store::image_dir::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::carry::files::beginning::ChangeTime;
use crate::doctor::finding::Finding;

/// What `crik doctor` is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// The agent's process.
    pub agent: i32,
    /// The root of the program's tree.
    pub root: i32,
    /// The files of crik's own that the tree has mapped.
    pub own: Vec<PathBuf>,
    /// The library that keeps its clocks going.
    pub library: Option<Installed>,
    /// Where its checkpoints go.
    pub image_dir: Option<PathBuf>,
    /// From when on a change of a file is the program's doing.
    pub since: ChangeTime,
    /// The verdict that was told last.
    pub verdict: Option<Verdict>,
    /// What was found that is no matter of the moment.
    pub findings: Vec<Finding>,
    /// What the volume takes in a second, as far as that is known.
    pub bytes_per_second: Option<u64>,
    /// For how long the program still stands still after a checkpoint if nobody ends its pod, if it does.
    #[serde(default)]
    pub stands_still_seconds: Option<u64>,
}
