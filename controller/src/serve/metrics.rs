//! What is counted as it happens.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::base::outcomes::Outcomes;
use crate::reports::Counted;

/// The route of what is none: anyone could make up labels.
const NONE: &str = "none";

/// A metric's labels.
pub type Labels = Vec<(&'static str, String)>;

/// Which route was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// The path as the router has it.
    pub route: &'static str,
}

/// Which route was asked, and with which status it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// The path as the router has it.
    pub route: &'static str,
    /// The status.
    pub code: u16,
}

/// What is counted as it happens.
pub struct Metrics {
    /// All of these, to be written.
    pub registry: Registry,
    /// Requests by route and code.
    pub requests: Family<Answered, Counter>,
    /// How long requests took that did not wait for a change, in seconds, by route.
    pub durations: Family<Asked, Histogram, fn() -> Histogram>,
    /// How long after a change the answer of a waiting poll was there, in seconds.
    pub answers: Histogram,
    /// How questions to the API server about tokens went.
    pub reviews: Outcomes,
    /// How questions to the API server about pods went.
    pub pod_questions: Outcomes,
    /// How handshakes of TLS went that came to nothing.
    pub failed_handshakes: Outcomes,
    /// What agents report.
    pub reports: Counted,
    /// When the process began, in seconds of Unix time.
    pub started: f64,
}

/// From 50 µs, which an answer takes, to 1.6 s, when something is wrong.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 16))
}

impl Metrics {
    /// All at zero; `events`, `admissions` and `evictions` are counted elsewhere.
    pub fn new(events: Outcomes, admissions: Outcomes, evictions: Outcomes) -> Self {
        let mut registry = Registry::with_prefix("crik");
        let (requests, reviews) = (Family::default(), Outcomes::default());
        let (pod_questions, failed_handshakes) = (Outcomes::default(), Outcomes::default());
        let durations = Family::new_with_constructor(latencies as fn() -> Histogram);
        let answers = latencies();
        registry.register("requests", "Requests that were answered", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "How long requests took that did not wait for a change",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_with_unit(
            "poll_answer",
            "How long after a change a waiting poll was answered",
            Unit::Seconds,
            answers.clone(),
        );
        registry.register("tokenreviews", "Questions to the API server about tokens", reviews.clone());
        let help = "Questions to the API server about pods";
        registry.register("pod_questions", help, pod_questions.clone());
        let help = "TLS handshakes of clients that came to nothing";
        registry.register("failed_handshakes", help, failed_handshakes.clone());
        registry.register("events", "Kubernetes Events on nodes that shut down", events);
        let help = "Pods that the API server has asked about when they were created";
        registry.register("admissions", help, admissions);
        let help = "Evictions of labelled pods that the API server has asked about";
        registry.register("evictions", help, evictions);
        let reports = Counted::default();
        reports.register(&mut registry);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The release of crik-controller", build);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self {
            registry,
            requests,
            durations,
            answers,
            reviews,
            pod_questions,
            failed_handshakes,
            reports,
            started,
        }
    }

    /// What is counted of these routes, and of what is none.
    pub fn of_routes(&self, paths: impl IntoIterator<Item = &'static str>) -> Routes {
        let of = |path| Route {
            path,
            requests: self.requests.clone(),
            durations: self.durations.clone(),
            successes: OnceLock::new(),
            all_durations: OnceLock::new(),
        };
        Routes { routes: paths.into_iter().map(of).collect(), none: of(NONE) }
    }
}

/// What is counted of each route.
pub struct Routes {
    routes: Vec<Route>,
    none: Route,
}

impl Routes {
    /// Of the one with this path.
    pub fn at(&self, path: Option<&str>) -> &Route {
        self.routes.iter().find(|route| Some(route.path) == path).unwrap_or(&self.none)
    }
}

/// What is counted of one route. What almost every request needs is looked up once.
pub struct Route {
    path: &'static str,
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    successes: OnceLock<Counter>,
    all_durations: OnceLock<Histogram>,
}

impl Route {
    /// Counts an answer.
    pub fn answered(&self, code: StatusCode) {
        let counted =
            || self.requests.get_or_create_owned(&Answered { route: self.path, code: code.as_u16() });
        match code {
            StatusCode::OK => self.successes.get_or_init(counted).inc(),
            _ => counted().inc(),
        };
    }

    /// Counts how long one took.
    pub fn took(&self, time: Duration) {
        let counted = || self.durations.get_or_create_owned(&Asked { route: self.path });
        self.all_durations.get_or_init(counted).observe(time.as_secs_f64());
    }
}
