//! What is counted of reports. Each replica counts what it has taken, so the sum over all is what has happened.

use std::sync::atomic::AtomicU64;

use crik_api::report::{Checkpointed, Occasion, Resumed, What};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::base::outcomes::Outcomes;

/// What a checkpoint was for, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    occasion: &'static str,
    outcome: &'static str,
}

/// How a program has started.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Started {
    how: &'static str,
}

/// All that is counted.
#[derive(Clone)]
pub struct Counted {
    /// What came of reports.
    pub reports: Outcomes,
    /// What came of the Events that tell of them.
    pub events: Outcomes,
    checkpoints: Family<Ended, Counter>,
    starts: Family<Started, Counter>,
    frozen: Histogram,
    durable: Histogram,
    resumed: Histogram,
    bytes: Counter,
    stored: Counter,
    new: Counter,
    saved: Counter<f64, AtomicU64>,
}

/// From 10 ms, for which a small program stands still, to 11 minutes, for which a large one is made durable.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 17))
}

impl Default for Counted {
    fn default() -> Self {
        let counted = Self {
            reports: Outcomes::default(),
            events: Outcomes::default(),
            checkpoints: Family::default(),
            starts: Family::default(),
            frozen: seconds(),
            durable: seconds(),
            resumed: seconds(),
            bytes: Counter::default(),
            stored: Counter::default(),
            new: Counter::default(),
            saved: Counter::default(),
        };
        counted.begin();
        counted
    }
}

impl Counted {
    /// What may happen is there at zero, so that its first time is a growth that Prometheus sees.
    fn begin(&self) {
        for occasion in Occasion::ALL.map(Occasion::as_str) {
            for outcome in ["durable", "failed"] {
                drop(self.checkpoints.get_or_create(&Ended { occasion, outcome }));
            }
        }
        drop(self.checkpoints.get_or_create(&UNWANTED));
        for result in ["taken", "repeated", "too-often", "gone", "forbidden", "unwritable", "busy", "failed"]
        {
            drop(self.reports.get_or_create(&vec![("result", result)]));
        }
        for how in ["resumed", "fresh", "fresh-after-skipped"] {
            drop(self.starts.get_or_create(&Started { how }));
        }
    }

    /// Counts a report that was taken.
    pub fn count(&self, what: &What) {
        match what {
            What::Resumed(resumed) => self.count_resumed(resumed),
            What::StartedFresh { why } => {
                let how = if why.is_some() { "fresh-after-skipped" } else { "fresh" };
                self.starts.get_or_create(&Started { how }).inc();
            }
            What::Checkpointed(checkpointed) => self.count_checkpoint(checkpointed),
            What::NotCheckpointed { occasion, .. } => {
                let ended = Ended { occasion: occasion.as_str(), outcome: "failed" };
                self.checkpoints.get_or_create(&ended).inc();
            }
            What::ToldToStop { .. } => drop(self.checkpoints.get_or_create(&UNWANTED).inc()),
            What::Examined(_) | What::MoveBegun { .. } | What::Stayed | What::Unknown => {}
        }
    }

    fn count_resumed(&self, resumed: &Resumed) {
        self.starts.get_or_create(&Started { how: "resumed" }).inc();
        self.resumed.observe(resumed.seconds);
        self.saved.inc_by(resumed.saved_seconds);
    }

    fn count_checkpoint(&self, checkpointed: &Checkpointed) {
        let ended = Ended { occasion: checkpointed.occasion.as_str(), outcome: "durable" };
        self.checkpoints.get_or_create(&ended).inc();
        self.frozen.observe(checkpointed.frozen_seconds);
        self.durable.observe(checkpointed.durable_seconds);
        self.bytes.inc_by(checkpointed.bytes);
        self.stored.inc_by(checkpointed.stored_bytes);
        self.new.inc_by(checkpointed.new_bytes);
    }

    /// Lets all of it be read.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("reports", "Reports of agents, by what came of them", self.reports.clone());
        let help = "Kubernetes Events on pods that tell of them";
        registry.register("pod_events", help, self.events.clone());
        let help = "Checkpoints, by what they were for and what came of them";
        registry.register("checkpoints", help, self.checkpoints.clone());
        registry.register("starts", "Starts of programs, by how they began", self.starts.clone());
        for (name, help, seconds) in [
            ("checkpoint_frozen", "How long programs stood still for a checkpoint", &self.frozen),
            ("checkpoint_durable", "How long checkpoints took until they were durable", &self.durable),
            ("resume", "How long programs took to go on from a checkpoint", &self.resumed),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, seconds.clone());
        }
        for (name, help, bytes) in [
            ("checkpoint", "What checkpoints have", &self.bytes),
            ("checkpoint_stored", "What is kept for them", &self.stored),
            ("checkpoint_new", "What of that was not there before", &self.new),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, bytes.clone());
        }
        let help = "How long resumed programs had run before their checkpoints, which is work that is not done again";
        registry.register_with_unit("saved", help, Unit::Seconds, self.saved.clone());
    }
}

/// A pod's end for which no checkpoint was wanted.
const UNWANTED: Ended = Ended { occasion: Occasion::Stop.as_str(), outcome: "unwanted" };
