//! What can be believed of a report: whoever has the token of a pod may write anything. Pure.

use std::time::Duration;

use crik_api::report::{Checkpointed, Report, Resumed, Skipped, ToldProtection, What};

use crate::base::limits;
use crate::base::shortened::shortened_to;

/// The report with texts that are short enough for an annotation, and with figures that can be.
pub fn plausible(report: Report) -> Report {
    let seconds_ago = seconds(report.seconds_ago, limits::REPORT_AGE_MAX);
    let node = name(report.node);
    let what = match report.what {
        What::Examined(told) => {
            What::Examined(ToldProtection { why: told.why.map(text), protected: told.protected })
        }
        What::Resumed(resumed) => What::Resumed(of_start(resumed)),
        What::StartedFresh { why } => What::StartedFresh { why: why.map(text) },
        What::MoveBegun { asked } => What::MoveBegun { asked: name(asked) },
        What::Checkpointed(checkpointed) => What::Checkpointed(of_checkpoint(checkpointed)),
        What::NotCheckpointed { occasion, why } => What::NotCheckpointed { occasion, why: text(why) },
        What::ToldToStop { why } => What::ToldToStop { why: text(why) },
        What::Stayed => What::Stayed,
        What::Unknown => What::Unknown,
    };
    Report { id: report.id, seconds_ago, node, what }
}

fn of_start(resumed: Resumed) -> Resumed {
    let skipped = resumed.skipped.into_iter().take(limits::SKIPPED_TOLD);
    Resumed {
        generation: resumed.generation,
        seconds: seconds(resumed.seconds, limits::STEP_MAX),
        saved_seconds: seconds(resumed.saved_seconds, limits::SAVED_MAX),
        from: resumed.from.map(name),
        skipped: skipped.map(|one| Skipped { why: text(one.why), ..one }).collect(),
    }
}

fn of_checkpoint(checkpointed: Checkpointed) -> Checkpointed {
    let bytes = |number: u64| number.min(limits::CHECKPOINT_BYTES_MAX);
    Checkpointed {
        frozen_seconds: seconds(checkpointed.frozen_seconds, limits::STEP_MAX),
        durable_seconds: seconds(checkpointed.durable_seconds, limits::STEP_MAX),
        bytes: bytes(checkpointed.bytes),
        stored_bytes: bytes(checkpointed.stored_bytes),
        new_bytes: bytes(checkpointed.new_bytes),
        ..checkpointed
    }
}

fn seconds(told: f64, most: Duration) -> f64 {
    told.clamp(0.0, most.as_secs_f64())
}

fn text(told: String) -> String {
    shortened_to(told, limits::WHY_MAX)
}

fn name(told: String) -> String {
    shortened_to(told, limits::NAME_MAX)
}

#[cfg(test)]
mod tests {
    use crik_api::report::{Occasion, ReportId};

    use super::*;

    fn believed(what: What, seconds_ago: f64) -> Report {
        let id = ReportId { began: 1, number: 1 };
        plausible(Report { id, seconds_ago, node: "n".repeat(9000), what })
    }

    #[test]
    fn texts_are_cut_and_figures_are_none_that_cannot_be() {
        let skipped = Skipped { generation: 1, why: "x".repeat(9000) };
        let resumed = Resumed {
            generation: 3,
            seconds: -1.0,
            saved_seconds: 1e300,
            from: Some("b".to_owned()),
            skipped: vec![skipped; 500],
        };
        let Report { what: What::Resumed(found), seconds_ago, node, .. } =
            believed(What::Resumed(resumed), -5.0)
        else {
            panic!("another kind")
        };
        assert_eq!((found.seconds, found.saved_seconds), (0.0, limits::SAVED_MAX.as_secs_f64()));
        assert_eq!((seconds_ago, found.skipped.len()), (0.0, limits::SKIPPED_TOLD));
        assert!(found.skipped[0].why.chars().count() <= limits::WHY_MAX + 1 && node.len() < 300);
        let checkpointed = Checkpointed {
            generation: 3,
            occasion: Occasion::Stop,
            frozen_seconds: 1e9,
            durable_seconds: 0.5,
            bytes: u64::MAX,
            stored_bytes: 7,
            new_bytes: 0,
        };
        let What::Checkpointed(found) = believed(What::Checkpointed(checkpointed), 1e9).what else {
            panic!("another kind")
        };
        assert_eq!((found.durable_seconds, found.stored_bytes), (0.5, 7));
        assert_eq!(found.bytes, limits::CHECKPOINT_BYTES_MAX);
        assert_eq!(found.frozen_seconds, limits::STEP_MAX.as_secs_f64());
    }
}
