//! What the log says of a checkpoint on its way.

use std::time::Duration;

use crate::base::units::whole_ms;
use crate::carry::clocks::go_on::helpless;
use crate::checkpoint::freeze::Staged;
use crate::store::generation::clock_facts::ClockFacts;
use crate::store::generation::manifest::{self, Manifest};
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
