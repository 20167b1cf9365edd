//! What is told of a start, of a checkpoint and of a verdict, in the words of the wire.

use std::time::{Duration, Instant};

use crik_api::report::{Checkpointed, Occasion, Resumed, Skipped, ToldProtection, What};
use crik_store::generation::manifest::{self, Manifest};
use crik_store::image_dir::verdict::Verdict;

use crate::base::limits;
use crate::base::units::seconds;
use crate::workload::RunningTree;

/// Of a verdict.
pub fn examined(verdict: &Verdict) -> What {
    let protected = verdict.is_protected();
    let why = (!protected).then(|| bounded(&verdict.reasons.join("; ")));
    What::Examined(ToldProtection { protected, why })
}

/// Of a tree that runs, whose agent `began` then.
pub fn started(running: &RunningTree, began: Instant) -> What {
    let origin = &running.origin;
    let Some(generation) = running.resumed else {
        return What::StartedFresh { why: origin.why_fresh.as_deref().map(bounded) };
    };
    let skipped = origin.skipped.iter().take(limits::NAMED_MAX);
    What::Resumed(Resumed {
        generation: generation.0,
        seconds: seconds(running.life.began().saturating_duration_since(began)),
        saved_seconds: seconds(origin.saved),
        from: origin.node.clone(),
        skipped: skipped
            .map(|(generation, why)| Skipped { generation: generation.0, why: bounded(why) })
            .collect(),
    })
}

/// Of a checkpoint that is durable.
pub fn checkpointed(committed: &Manifest, occasion: Occasion) -> What {
    let took = |step: &str| committed.durations_ms.get(step).copied().map(Duration::from_millis);
    let durable = took(manifest::DUMP).unwrap_or_default() + took(manifest::DURABLE).unwrap_or_default();
    What::Checkpointed(Checkpointed {
        generation: committed.generation.0,
        occasion,
        frozen_seconds: seconds(took(manifest::PAUSE).unwrap_or(durable)),
        durable_seconds: seconds(durable),
        bytes: committed.total_bytes(),
        stored_bytes: committed.stored_bytes(),
        new_bytes: committed.new_bytes(),
    })
}

/// That there is none.
pub fn not_checkpointed(occasion: Occasion, why: &str) -> What {
    What::NotCheckpointed { occasion, why: bounded(why) }
}

/// That the program was told to stop.
pub fn told_to_stop(why: &str) -> What {
    What::ToldToStop { why: bounded(why) }
}

/// As much as fits beside others into an annotation.
fn bounded(why: &str) -> String {
    let mut rest = why.chars();
    let head: String = rest.by_ref().take(limits::REPORT_WHY_MAX_CHARS).collect();
    if rest.next().is_some() { head + "…" } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_and_says_so() {
        let long = "ü".repeat(limits::REPORT_WHY_MAX_CHARS);
        assert_eq!(bounded(&long), long);
        assert_eq!(bounded(&(long.clone() + "x")), long + "…");
    }

    #[test]
    fn a_program_that_is_not_protected_is_told_with_all_that_is_in_the_way() {
        let verdict = Verdict { reasons: vec!["a; do b".to_owned(), "c".to_owned()], ..Verdict::default() };
        let why = Some("a; do b; c".to_owned());
        assert_eq!(examined(&verdict), What::Examined(ToldProtection { protected: false, why }));
        let well = What::Examined(ToldProtection { protected: true, why: None });
        assert_eq!(examined(&Verdict::default()), well);
    }
}
