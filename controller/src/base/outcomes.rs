//! How what is asked of the API server went, for metrics.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// How often each result was had.
pub type Outcomes = Family<Vec<(&'static str, &'static str)>, Counter>;

/// Counts one more of `result`.
pub fn count(outcomes: &Outcomes, result: &'static str) {
    outcomes.get_or_create(&vec![("result", result)]).inc();
}
