//! What is shared, and what is taken from whom.

mod parts;

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Bytes, HttpBody as _};
use crik_api::NodeList;

use super::*;
use crate::event::Event;
use crate::signals::{Observation, Ready};

const NODES: usize = 2_000;

fn observed(unschedulable: &str) -> Observation {
    Observation {
        uid: "u".into(),
        boot_id: unschedulable.into(),
        ready: Ready::True,
        ..Observation::default()
    }
}

fn lists() -> Lists {
    let index = Arc::new(Index::new());
    let all = (0..NODES).map(|number| (format!("node-{number:05}").into(), observed("b")));
    index.apply(Event::Listed(all.collect()));
    Lists::new(index)
}

/// How many bytes a text takes: itself, and 16 for each node, to find it in there.
fn held(text: &Text) -> usize {
    text.length() + NODES * 16
}

/// A change that all nodes have in common.
fn change(lists: &Lists) {
    lists.index.apply(Event::Lost("a test".to_owned()));
    lists.index.apply(Event::Heard);
}

async fn next(body: &mut Portions<impl Parts>) -> Option<Result<Bytes, Withdrawn>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}

#[tokio::test]
async fn the_text_is_the_list_in_portions_whose_length_is_known() {
    let lists = lists();
    let mut body = Portions::new(Whole::plain(lists.now().await.unwrap()));
    let length = body.size_hint().exact().unwrap();
    let (mut whole, mut portions) = (Vec::new(), 0);
    while let Some(portion) = next(&mut body).await {
        whole.extend_from_slice(&portion.unwrap());
        portions += 1;
    }
    assert!(whole.len() as u64 == length && body.is_end_stream() && portions > 2);
    let list: NodeList = serde_json::from_slice(&whole).unwrap();
    assert_eq!(serde_json::to_vec(&list).unwrap(), whole);
    let names: Vec<_> = list.nodes.iter().map(|node| node.name.clone()).collect();
    assert!(names.is_sorted() && names.len() == NODES);
}

#[tokio::test]
async fn a_list_of_no_nodes_is_one() {
    let index = Arc::new(Index::new());
    assert!(Lists::new(Arc::clone(&index)).now().await.is_none());
    index.apply(Event::Listed(Vec::new()));
    let text = Lists::new(index).now().await.unwrap();
    assert_eq!(text.piece(0).unwrap().unwrap(), r#"{"nodes":[]}"#);
}

#[tokio::test]
async fn all_readers_of_a_version_share_one_text_and_a_change_makes_another() {
    let lists = lists();
    let (one, other) = tokio::join!(lists.now(), lists.now());
    assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
    let (before, bytes) = (lists.now().await.unwrap(), lists.held());
    assert_eq!(bytes, held(&before));
    change(&lists);
    let after = lists.now().await.unwrap();
    assert!(after.version.is_as_new_as(before.version) && after.version != before.version);
    assert_eq!(lists.held(), bytes + held(&after));
    drop((before, after));
    assert_eq!(lists.held(), bytes, "only the newest is kept");
}

#[tokio::test(start_paused = true)]
async fn a_text_that_nobody_asks_for_any_more_is_forgotten() {
    let lists = lists();
    drop(lists.now().await.unwrap());
    assert!(lists.held() > 0);
    sleep(limits::TEXT_KEPT * 2).await;
    assert_eq!(lists.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn readers_that_take_their_time_hold_a_few_texts_and_keep_nobody_waiting_for_long() {
    let lists = lists();
    let mut slow = Vec::new();
    for _ in 0..limits::TEXTS * 3 {
        let began = Instant::now();
        let text = lists.now().await.unwrap();
        let length = held(&text);
        slow.push(Portions::new(Whole::plain(text)));
        assert!(began.elapsed() <= limits::TEXT_READ + Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(lists.held() <= limits::TEXTS * length);
        change(&lists);
    }
    let mut cut = 0;
    for body in &mut slow {
        cut += usize::from(next(body).await.unwrap().is_err());
    }
    assert_eq!(cut, limits::TEXTS * 2);
}

#[tokio::test]
async fn clients_that_come_and_go_have_one_text_written_at_a_time() {
    let (lists, mut most) = (lists(), 0);
    for _ in 0..100 {
        change(&lists);
        let _ = tokio::time::timeout(Duration::from_micros(1), lists.now()).await;
        tokio::task::yield_now().await;
        most = most.max(lists.held());
    }
    // One that is written in the middle of a change says of each node that its source is lost, and is longer for it.
    lists.index.apply(Event::Lost("a test".to_owned()));
    let one = held(&lists.now().await.unwrap());
    assert!(most <= one, "{most} bytes, and one text has {one}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_in_time_is_given_up() {
    let lists = lists();
    let mut body = Portions::new(Whole::plain(lists.now().await.unwrap()));
    assert!(next(&mut body).await.unwrap().is_ok());
    tokio::time::advance(limits::SENDING * 2).await;
    assert!(next(&mut body).await.unwrap().is_err());
}
