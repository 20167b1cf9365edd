//! Of an API server that takes its time, and of many tokens.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{Method, Request, Response};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::*;
use crate::auth::signer::Signer;

const HEADER: &str = r#"{"alg":"ES256","kid":"1"}"#;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An API server that says of every token, after so long, whether it is good.
#[derive(Clone, Copy)]
struct Says {
    good: bool,
    after: Duration,
}

/// One who signs for an API server, and what is known of it.
struct Known {
    signer: Signer,
    reviews: Reviews,
    asked: Arc<AtomicUsize>,
}

impl Known {
    fn of(says: Says, most: u64) -> Self {
        let (signer, asked) = (Signer::new(), Arc::new(AtomicUsize::new(0)));
        let (keys, count) = (json!({"keys": [signer.key("1")]}).to_string(), Arc::clone(&asked));
        let server = service_fn(move |request: Request<kube::client::Body>| {
            let (keys, count) = (keys.clone(), Arc::clone(&count));
            async move {
                if request.method() == Method::GET {
                    return Ok::<_, Infallible>(Response::new(Body::from(keys)));
                }
                count.fetch_add(1, Ordering::Relaxed);
                sleep(says.after).await;
                let status =
                    json!({"authenticated": says.good, "audiences": ["crik"], "error": "its pod is gone"});
                Ok(Response::new(Body::from(json!({"spec": {"token": ""}, "status": status}).to_string())))
            }
        });
        let (client, fresh) = (Client::new(server, "default"), Duration::from_secs(120));
        let reviews = Reviews::new(client, "crik".to_owned(), fresh, most, Outcomes::default());
        Self { signer, reviews, asked }
    }

    /// A token that the API server has signed, unlike those of other numbers.
    fn token(&self, number: usize) -> String {
        let claims = json!({"aud": "crik", "exp": 32_503_680_000_u64, "jti": number}).to_string();
        self.signer.token_of(HEADER, &claims)
    }

    async fn refused(&self, token: &str) -> Option<Refusal> {
        self.reviews.identity(token, PEER).await.err()
    }

    /// How often it was asked about so many tokens, each of which is shown twice.
    async fn questions(&self, tokens: usize) -> usize {
        // A signature is another one each time.
        let tokens: Vec<String> = (0..tokens).map(|number| self.token(number)).collect();
        for _ in 0..2 {
            for token in &tokens {
                assert!(self.refused(token).await.is_none());
            }
            self.reviews.known.run_pending_tasks().await;
        }
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_of_a_token_is_answered_by_its_signature_until_the_api_servers_word_comes() {
    let known = Known::of(Says { good: false, after: Duration::from_secs(3) }, 10);
    let (token, began) = (known.token(0), Instant::now());
    assert!(known.refused(&token).await.is_none());
    assert_eq!(began.elapsed(), limits::RENEWAL_PATIENCE);
    // Who asks meanwhile waits for nothing, and causes no other question.
    assert!(known.refused(&token).await.is_none());
    assert_eq!((began.elapsed(), known.asked.load(Ordering::Relaxed)), (limits::RENEWAL_PATIENCE, 1));
    sleep(Duration::from_secs(3)).await;
    assert!(matches!(known.refused(&token).await, Some(Refusal::Invalid(why)) if why.contains("gone")));
}

#[tokio::test(start_paused = true)]
async fn the_word_of_an_api_server_that_answers_soon_counts_at_once() {
    let soon = limits::RENEWAL_PATIENCE - Duration::from_millis(50);
    let known = Known::of(Says { good: false, after: soon }, 10);
    assert!(matches!(known.refused(&known.token(0)).await, Some(Refusal::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn the_api_server_is_asked_once_about_each_token_for_which_there_is_room() {
    let good = Says { good: true, after: Duration::ZERO };
    assert_eq!(Known::of(good, 100).questions(100).await, 100);
    assert!(Known::of(good, 50).questions(100).await > 100, "there is room for 50");
}
