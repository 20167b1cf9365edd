use std::convert::Infallible;

use axum::http::Request;
use crik_api::report::PROTECTION;
use serde_json::json;
use tower::service_fn;

use super::*;

/// What an API server answers that has the pod `n/labelled`, which is protected, and `n/other` without the label.
async fn api_server(request: Request<kube::client::Body>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    let answer = if path.ends_with("/poddisruptionbudgets") {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudgetList", "metadata": {}, "items": []})
    } else {
        let value = if path.contains("/labelled") { "true" } else { "false" };
        json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running"}, "spec": {"nodeName": "a"},
               "metadata": {"name": "labelled", "namespace": "n", "uid": "u", "labels": {"crik.dev/inject": value},
                            "annotations": {PROTECTION: r#"{"protected":true}"#}}})
    };
    Ok(Response::new(Body::from(answer.to_string())))
}

/// Who is asked at this path, and knows no pods yet.
fn evictions(path: &str) -> Arc<Evictions> {
    let evicted =
        Evicted { index: Arc::new(Index::new()), workloads: Arc::default(), outcomes: Outcomes::default() };
    let limits = Limits {
        eviction_deadline: limits::EVICTION_DEADLINE_MAX,
        moves_per_node: limits::MOVES_PER_NODE,
        moves_per_cluster: limits::MOVES_PER_CLUSTER,
    };
    let client = Client::new(service_fn(api_server), "default");
    Arc::new(Evictions::new(evicted, limits, client, watch::channel(path.to_owned()).1))
}

#[tokio::test]
async fn who_does_not_know_the_path_is_not_heard() {
    for (path, asked, expected) in [
        ("/evict/word", "/evict", StatusCode::NOT_FOUND),
        ("/evict/word", "/evict/wor", StatusCode::NOT_FOUND),
        // Nobody knows it yet.
        ("", "/evict/", StatusCode::NOT_FOUND),
        // It is heard, and says nothing.
        ("/evict/word", "/evict/word", StatusCode::BAD_REQUEST),
        ("/evict", "/evict", StatusCode::BAD_REQUEST),
    ] {
        let answer = evict_pod(State(evictions(path)), asked.parse().unwrap(), Body::empty()).await;
        assert_eq!(answer.status(), expected, "{path} {asked}");
    }
}

#[tokio::test]
async fn a_pod_that_no_list_has_told_of_yet_is_looked_at_itself() {
    for (pod, dry_run, expected) in [
        ("n/labelled", false, Verdict::Ask),
        ("n/labelled", true, Verdict::Ask),
        ("n/other", false, Verdict::Allow(Reason::Unknown)),
    ] {
        let eviction = Eviction { pod: pod.to_owned(), dry_run };
        assert_eq!(evictions("").decided(&eviction).await.unwrap(), expected, "{pod} {dry_run}");
    }
}
