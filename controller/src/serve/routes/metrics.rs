//! `GET /metrics`, in the text form of OpenMetrics, or of Prometheus for who takes only that.

mod workloads;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::base::process::Usage;
use crate::connections::Places;
use crate::serve::answer;
use crate::serve::app::{App, Shared};
use crate::serve::metrics::Labels;
use crate::serve::moves;

/// The media type of OpenMetrics (github.com/prometheus/OpenMetrics, "Overall Structure").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics.
pub async fn scrape(State(app): State<App>, headers: HeaderMap) -> Response {
    let mut text = String::new();
    let (kind, written) = if takes_plain_text_only(&headers) {
        (prometheus_text::CONTENT_TYPE, each(&app.0, |of| prometheus_text::encode(&mut text, of)))
    } else {
        (OPEN_METRICS, write(&mut text, &app.0))
    };
    match written {
        Ok(()) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => answer::broken(&error.to_string()),
    }
}

/// Who says nothing gets the newer form.
fn takes_plain_text_only(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/plain") && !accept.contains("application/openmetrics-text")
}

fn write(text: &mut String, app: &Shared) -> fmt::Result {
    each(app, |registry| encode_registry(text, registry))?;
    encode_eof(text)
}

fn each(app: &Shared, mut write: impl FnMut(&Registry) -> fmt::Result) -> fmt::Result {
    [&app.metrics.registry, &now(app), &process(app)].into_iter().try_for_each(&mut write)
}

/// What the process uses, by the names that every client library gives it.
fn process(app: &Shared) -> Registry {
    let (usage, mut registry) = (Usage::now(), Registry::with_prefix("process"));
    if let Some(seconds) = usage.cpu_seconds {
        let cpu: Counter<f64, AtomicU64> = Counter::default();
        cpu.inc_by(seconds);
        registry.register_with_unit("cpu", "Time of the processor", Unit::Seconds, cpu);
    }
    for (name, help, bytes) in [
        ("resident_memory", "Memory that is there", usage.resident_bytes),
        ("virtual_memory", "Address space", usage.virtual_bytes),
    ] {
        if let Some(bytes) = bytes {
            registry.register_with_unit(
                name,
                help,
                Unit::Bytes,
                gauge(usize::try_from(bytes).unwrap_or(usize::MAX)),
            );
        }
    }
    for (name, help, files) in [
        ("open_fds", "Open file descriptors", usage.open_files),
        ("max_fds", "Open file descriptors, at most", usage.max_files),
    ] {
        if let Some(files) = files {
            registry.register(name, help, gauge(usize::try_from(files).unwrap_or(usize::MAX)));
        }
    }
    let started: Gauge<f64, AtomicU64> = Gauge::default();
    started.set(app.metrics.started);
    registry.register_with_unit("start_time", "When the process began, in Unix time", Unit::Seconds, started);
    registry
}

/// What is not counted but looked at.
fn now(app: &Shared) -> Registry {
    let counts = app.index.counts();
    let mut registry = Registry::with_prefix("crik");
    registry.register("nodes", "Nodes in each state", by("state", &counts.nodes));
    registry.register("signals", "Nodes that show each signal now", by("signal", &counts.shown));
    let appeared: Family<Labels, Counter> = Family::default();
    for (signal, &times) in &counts.appeared {
        appeared.get_or_create(&vec![("signal", signal.to_string())]).inc_by(times);
    }
    registry.register("signals_appeared", "How often each signal has appeared on a node", appeared);
    if let Some(silence) = counts.silence {
        let age: Gauge<f64, AtomicU64> = Gauge::default();
        age.set(silence.as_secs_f64());
        let help = "How long ago anything was heard from the source of nodes";
        registry.register_with_unit("source_age", help, Unit::Seconds, age);
    }
    let counter = |number: u64| {
        let counter: Counter = Counter::default();
        counter.inc_by(number);
        counter
    };
    registry.register("source_lists", "How often all nodes were listed", counter(counts.listed));
    let help = "How often the source of nodes failed, and was tried again";
    registry.register("source_failures", help, counter(counts.failed));
    let help = "1 while the source of nodes is lost, so that states may be old";
    registry.register("source_lost", help, gauge(usize::from(counts.stale)));
    let help = "Agents that wait for a change, by what they say of their programs";
    registry.register("agents", help, by("protection", &app.agents.now()));
    let help = "Pods whose move is not over, by what it waits for";
    registry.register("moves", help, by("for", &moves::now(app)));
    workloads::register(&mut registry, app);
    register(&mut registry, "waiting_polls", "Polls that wait for a change", &app.polls);
    register(&mut registry, "lists", "Lists that are being sent", app.lists.places());
    register(&mut registry, "streams", "Streams of changes", app.streams.places());
    let help = "What the texts of all nodes take that lists and streams share";
    registry.register_with_unit("lists_held", help, Unit::Bytes, gauge(app.texts.held()));
    register(&mut registry, "connections", "Connections that are open", &app.connections);
    registry
}

/// How many places are taken, and how many there are.
fn register(registry: &mut Registry, name: &str, help: &str, places: &Places) {
    registry.register(name, help, gauge(places.taken()));
    registry.register(format!("{name}_max"), format!("{help}, at most"), gauge(places.size()));
}

fn gauge(value: usize) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

fn by<Key: ToString>(label: &'static str, numbers: &BTreeMap<Key, usize>) -> Family<Labels, Gauge> {
    let family: Family<Labels, Gauge> = Family::default();
    for (key, &number) in numbers {
        let labels = vec![(label, key.to_string())];
        family.get_or_create(&labels).set(i64::try_from(number).unwrap_or(i64::MAX));
    }
    family
}
