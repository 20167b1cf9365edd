use std::convert::Infallible;
use std::future::pending;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use tokio::time::{Duration, Instant, sleep};
use tower::service_fn;

use super::*;

/// An API server that knows the pod `mine`, and hangs when it is asked for another one.
async fn api_server(request: Request<kube::client::Body>) -> Result<Response<Body>, Infallible> {
    if !request.uri().path().ends_with("/mine") {
        pending::<()>().await;
    }
    Ok(Response::new(Body::from(r#"{"metadata": {"name": "mine", "uid": "u1"}}"#)))
}

fn pods<S>(server: S) -> Arc<Pods>
where
    S: tower::Service<Request<kube::client::Body>, Response = Response<Body>, Error = Infallible> + Clone,
    S: Send + 'static,
    S::Future: Send,
{
    Arc::new(Pods::new(Client::new(server, "default"), Outcomes::default()))
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

#[tokio::test(start_paused = true)]
async fn an_address_that_floods_holds_up_no_other() {
    let pods = pods(service_fn(api_server));
    for number in 0..100 {
        let pods = Arc::clone(&pods);
        tokio::spawn(async move { pods.status(address(1), "ns", &format!("made-up-{number}")).await });
    }
    sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    let answer = pods.status(address(2), "ns", "mine").await.unwrap();
    assert_eq!((answer.uid.as_str(), began.elapsed()), ("u1", Duration::ZERO));
    // Its own others wait for their turns, and not for ever.
    assert_eq!(pods.status(address(1), "ns", "mine").await.map(drop), Ok(()));
    assert_eq!(pods.status(address(1), "ns", "made-up-0").await, Err(PodError::TooMany));
}

#[tokio::test(start_paused = true)]
async fn an_address_asks_so_often_and_others_are_not_told_of_it() {
    let gone = |_| async {
        let status = r#"{"kind": "Status", "code": 404, "message": "no"}"#;
        let mut answer = Response::new(Body::from(status));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        Ok(answer)
    };
    let pods = pods(service_fn(gone));
    let ask = async |last, name: &str| pods.status(address(last), "ns", name).await.unwrap_err();
    for number in 0..limits::POD_QUESTIONS_PER_PEER {
        assert!(matches!(ask(1, &number.to_string()).await, PodError::Gone { .. }));
    }
    assert_eq!(ask(1, "one-more").await, PodError::TooMany);
    assert!(matches!(ask(2, "one-more").await, PodError::Gone { .. }));
    assert!(matches!(ask(1, "one-more").await, PodError::Gone { .. }), "what is known is told to all");
}
