//! What is known of the labelled pods. Each replica watches them all, so no sum over replicas says anything.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::serve::app::Shared;
use crate::serve::metrics::Labels;
use crate::serve::node_states::NodeStates;
use crate::workloads::Counts;

/// The parts of all pods whose newest checkpoints are not above an age that is told.
const PARTS: [(&str, f64); 3] = [("0.5", 0.5), ("0.9", 0.9), ("1", 1.0)];

/// Adds it, if they are watched.
pub fn register(registry: &mut Registry, app: &Shared) {
    let Some(workloads) = app.workloads.as_ref().filter(|workloads| workloads.is_complete()) else { return };
    let mut states = NodeStates::new(Arc::clone(&app.index));
    let counts = Counts::of(&workloads.all(), |node| states.of(node), Timestamp::now());
    let pods: Family<Labels, Gauge> = Family::default();
    for (&(protection, state), &number) in &counts.pods {
        let labels = vec![("protection", protection.to_owned()), ("node_state", state.to_owned())];
        pods.get_or_create(&labels).set(i64::try_from(number).unwrap_or(i64::MAX));
    }
    let help =
        "Labelled pods that have not ended, by what their agents have told and the state of their nodes";
    registry.register("workloads", help, pods);
    let ages: Family<Labels, Gauge<f64, AtomicU64>> = Family::default();
    for (word, part) in PARTS {
        if let Some(age) = counts.age_of(part) {
            ages.get_or_create(&vec![("quantile", word.to_owned())]).set(age);
        }
    }
    let help = "How old the newest checkpoints of pods that run are, at most in this part of them";
    registry.register_with_unit("newest_checkpoint_age", help, Unit::Seconds, ages);
}
