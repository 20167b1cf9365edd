//! How long a stream lasts.

use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::event::Event;
use crate::signals::Observation;

/// What a stream says until it ends, and how long that takes, of a source on which nothing happens.
async fn whole(expires: Option<Instant>) -> (String, Duration) {
    let (_tell, told) = watch::channel(false);
    let index = Arc::new(Index::new());
    index.apply(Event::Listed(vec![("a".into(), Observation::default())]));
    let stopping = Stopping::new(told, Duration::ZERO);
    let began = Instant::now();
    let mut feed = Feed::new(&Lists::new(Arc::clone(&index)), &index, stopping, end(expires));
    let mut said = String::new();
    while let Some((piece, rest)) = feed.next().await {
        said += std::str::from_utf8(&piece.unwrap()).unwrap();
        feed = rest;
    }
    (said, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_nothing_happens_says_that_it_is_there_and_ends_when_it_is_as_old_as_it_may_be() {
    let mut ends = Vec::new();
    for _ in 0..4 {
        let (said, lasted) = whole(None).await;
        assert!(said.starts_with("event: snapshot"), "{said}");
        let heartbeats = said.matches(": heartbeat").count() as u64;
        let most = lasted.as_secs() / limits::HEARTBEAT.as_secs();
        // Each of them may be a millisecond late.
        assert!(heartbeats == most || heartbeats + 1 == most, "{heartbeats} in {lasted:?}");
        assert!(lasted >= limits::STREAM_LIFE && lasted <= limits::STREAM_LIFE * 11 / 10, "{lasted:?}");
        ends.push(lasted);
    }
    ends.dedup();
    assert!(ends.len() > 1, "all that came together end together");
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_it_sooner_and_never_later() {
    let minute = Duration::from_secs(60);
    assert_eq!(whole(Some(Instant::now() + minute)).await.1.as_secs(), 60);
    let late = Instant::now() + limits::STREAM_LIFE * 2;
    assert!(whole(Some(late)).await.1 <= limits::STREAM_LIFE * 11 / 10);
}
