//! What the log says of a checkpoint on its way.

use std::path::PathBuf;
use std::time::Duration;

use crik_store::generation::clock_facts::ClockFacts;
use crik_store::generation::manifest::{self, Manifest};

use crate::base::limits;
use crate::base::units::whole_ms;
use crate::carry::clocks::go_on::helpless;
use crate::checkpoint::freeze::Staged;
use crate::tree::process::time_namespace;

/// That a generation is durable.
pub fn tell_committed(committed: &Manifest, took: Duration) {
    tracing::info!(
        step = "commit",
        generation = committed.generation.0,
        bytes = committed.total_bytes(),
        ms = whole_ms(took),
        "generation {} is durable",
        committed.generation
    );
}

/// That the tree is frozen, and what goes along.
pub fn tell_frozen(staged: &Staged, took: Duration) {
    if let Some(carried) = staged.carried.told() {
        tracing::info!(step = "carry", files = staged.carried.files(), "{carried} go along");
    }
    tell_left(&staged.carried.left);
    let pause = staged.durations_ms.get(manifest::PAUSE);
    tracing::info!(
        step = "freeze",
        processes = staged.tree.processes,
        bytes = staged.tree.resident_bytes,
        ms = whole_ms(took),
        pause_ms = pause,
        "{}",
        match pause {
            None => "the application is frozen".to_owned(),
            Some(pause) => format!("the application was frozen for {pause} ms and goes on"),
        }
    );
}

/// What only its owner can read, which the program, another user, has not made.
fn tell_left(left: &[PathBuf]) {
    let some: Vec<String> =
        left.iter().take(limits::PATHS_TOLD).map(|path| path.display().to_string()).collect();
    if !some.is_empty() {
        tracing::warn!(
            step = "carry",
            "{} of other users have changed, cannot be read and stay behind: {}{}",
            if left.len() == 1 { "1 path".to_owned() } else { format!("{} paths", left.len()) },
            some.join(", "),
            if left.len() > some.len() { " …" } else { "" }
        );
    }
}

/// Who may stand still on a node that was booted later.
pub fn tell_helpless(facts: &ClockFacts) {
    let helpless = helpless(facts);
    if !helpless.is_empty() && !time_namespace::is_possible() {
        tracing::warn!(
            step = "freeze",
            "resumed on a node that was booted later, {} may stand still for the difference; see onClockBack",
            helpless.join(", ")
        );
    }
}
