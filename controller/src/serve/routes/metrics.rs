//! `GET /metrics`, in the text form of OpenMetrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::connections::Places;
use crate::serve::answer;
use crate::serve::app::{App, Shared};
use crate::serve::metrics::Labels;

/// All metrics.
pub async fn scrape(State(app): State<App>) -> Response {
    let mut text = String::new();
    match write(&mut text, &app.0) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write metrics: {error}"))
        }
    }
}

fn write(text: &mut String, app: &Shared) -> fmt::Result {
    encode_registry(text, &app.metrics.registry)?;
    encode_registry(text, &now(app))?;
    encode_eof(text)
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
    let help = "1 while the source of nodes is lost, so that states may be old";
    registry.register("source_lost", help, gauge(usize::from(counts.stale)));
    let help = "Agents that wait for a change, by what they say of their programs";
    registry.register("agents", help, by("protection", &app.agents.now()));
    register(&mut registry, "waiting_polls", "Polls that wait for a change", &app.polls);
    register(&mut registry, "streams", "Lists and streams that are being sent", &app.streams);
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
