//! Pages, nodes in some states, and the text in gzip.

use std::io::Read as _;

use crik_api::NodeState;
use flate2::read::GzDecoder;

use super::*;

/// All bytes of a body, whose length is what it says.
async fn read(parts: impl Parts) -> Vec<u8> {
    let (mut body, mut whole) = (Portions::new(parts), Vec::new());
    let length = body.size_hint().exact().unwrap();
    while let Some(portion) = next(&mut body).await {
        let portion = portion.unwrap();
        assert!(portion.len() < limits::PORTION * 2);
        whole.extend_from_slice(&portion);
    }
    assert!(whole.len() as u64 == length && body.is_end_stream());
    whole
}

async fn list(parts: impl Parts) -> NodeList {
    serde_json::from_slice(&read(parts).await).unwrap()
}

async fn whole(lists: &Lists) -> NodeList {
    list(Whole::plain(lists.now().await.unwrap())).await
}

fn first(limit: usize) -> Wanted {
    Wanted { limit: Some(limit), ..Wanted::default() }
}

/// What the handler does for a page.
async fn page(lists: &Lists, wanted: Wanted) -> Option<NodeList> {
    let text = match wanted.page {
        Some(page) => lists.at(page.version)?,
        None => lists.now().await?,
    };
    let selection = Selection::new(Arc::clone(&text), wanted).ok()??;
    if selection.next.is_some() {
        lists.keep(&text);
    }
    drop(text);
    Some(list(selection).await)
}

/// The page after this one, if there is one; none as well if its list is gone.
async fn following(lists: &Lists, before: &NodeList, limit: usize) -> Option<NodeList> {
    let from = before.next.as_deref()?.parse().unwrap();
    page(lists, Wanted { page: Some(from), ..first(limit) }).await
}

#[tokio::test]
async fn pages_make_up_the_list_that_the_first_is_of_whatever_changes_meanwhile() {
    for limit in [1, 700, 1_000, NODES, NODES + 1] {
        let lists = lists();
        let all = whole(&lists).await.nodes;
        let mut pages = vec![page(&lists, first(limit)).await.unwrap()];
        while let Some(next) = following(&lists, pages.last().unwrap(), limit).await {
            pages.push(next);
            if pages.len() % 100 == 1 {
                lists.index.apply(Event::Deleted(format!("node-{:05}", pages.len()).into()));
                lists.index.apply(Event::Applied("node-00000a".into(), observed("b")));
                lists.now().await.unwrap();
            }
        }
        assert_eq!(pages.len(), NODES.div_ceil(limit));
        assert!(pages.iter().all(|page| page.nodes.len() <= limit));
        assert_eq!(pages.into_iter().flat_map(|page| page.nodes).collect::<Vec<_>>(), all);
    }
}

#[tokio::test]
async fn only_nodes_in_the_states_that_are_asked_for_are_told_also_in_pages() {
    let lists = lists();
    for number in (0..NODES).step_by(7) {
        lists.index.apply(Event::Deleted(format!("node-{number:05}").into()));
    }
    let gone = |node: &crik_api::NodeStatus| node.state == NodeState::Gone;
    let (expected, others): (Vec<_>, Vec<_>) = whole(&lists).await.nodes.into_iter().partition(gone);
    let of = |states: &[NodeState]| Wanted { states: Some(states.to_vec()), ..Wanted::default() };
    let states = [NodeState::Gone, NodeState::Draining];
    assert_eq!(page(&lists, of(&states)).await.unwrap(), NodeList { nodes: expected.clone(), next: None });
    assert_eq!(page(&lists, of(&[NodeState::Ready])).await.unwrap().nodes, others);
    assert_eq!(
        page(&lists, of(&[NodeState::Cordoned])).await.unwrap(),
        NodeList { nodes: Vec::new(), next: None }
    );
    let mut all = Vec::new();
    let mut next = Some(Wanted { limit: Some(expected.len() - 1), ..of(&states) });
    while let Some(wanted) = next {
        let part = page(&lists, wanted.clone()).await.unwrap();
        next = part.next.map(|word| Wanted { page: word.parse().ok(), ..wanted });
        all.push(part.nodes);
    }
    // None is asked for in vain.
    assert!(all.len() == 2 && all[1].len() == 1 && all.concat() == expected);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_kept_for_the_next_page_a_while_after_the_last() {
    let lists = lists();
    let mut last = page(&lists, first(10)).await.unwrap();
    change(&lists);
    for _ in 0..5 {
        sleep(limits::TEXT_KEPT - Duration::from_secs(1)).await;
        last = following(&lists, &last, 10).await.unwrap();
    }
    sleep(limits::TEXT_KEPT + Duration::from_secs(1)).await;
    assert_eq!(following(&lists, &last, 10).await, None);
    assert_eq!(lists.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn lists_that_are_kept_for_pages_give_way_to_newer_ones_and_the_newest_goes_on() {
    let lists = lists();
    let mut pages = Vec::new();
    for _ in 0..limits::TEXTS * 3 {
        let began = Instant::now();
        pages.push(page(&lists, first(10)).await.unwrap());
        assert!(began.elapsed() <= limits::TEXT_PAGED + Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(lists.held() <= limits::TEXTS * held(&lists.now().await.unwrap()));
        change(&lists);
    }
    assert_eq!(following(&lists, &pages[0], 10).await, None);
    assert!(following(&lists, pages.last().unwrap(), 10).await.is_some());
}

#[tokio::test]
async fn a_page_that_no_list_has_given_is_none() {
    let lists = lists();
    let there = page(&lists, first(10)).await.unwrap().next.unwrap().parse::<Page>().unwrap();
    let at = |page: Page| Wanted { page: Some(page), ..first(10) };
    assert!(page(&lists, at(there)).await.is_some());
    assert_eq!(page(&lists, at(Page { from: NODES, ..there })).await, None);
    assert_eq!(page(&lists, at(Page { from: usize::MAX, ..there })).await, None);
    let of_another_replica = Page { version: "1-1".parse().unwrap(), from: 10 };
    assert_eq!(page(&lists, at(of_another_replica)).await, None);
}

#[tokio::test]
async fn any_number_of_different_parts_is_read_of_one_text() {
    let lists = lists();
    let one = held(&lists.now().await.unwrap());
    let mut readers = Vec::new();
    for limit in 1..NODES {
        let states = Some(NodeState::ALL[limit % 5..].to_vec());
        let wanted = Wanted { states, ..first(limit) };
        readers.push(Selection::new(lists.now().await.unwrap(), wanted).unwrap().unwrap());
    }
    assert_eq!(lists.held(), one);
}

#[tokio::test]
async fn the_text_in_gzip_is_made_once_and_shared() {
    let lists = lists();
    let text = lists.now().await.unwrap();
    let plain = read(Whole::plain(Arc::clone(&text))).await;
    let (one, other) = tokio::join!(lists.zipped(&text), lists.zipped(&text));
    let zipped = read(one.unwrap()).await;
    assert_eq!(lists.held(), held(&text) + zipped.len());
    let mut unzipped = Vec::new();
    GzDecoder::new(zipped.as_slice()).read_to_end(&mut unzipped).unwrap();
    assert!(unzipped == plain && zipped.len() < plain.len() / 5, "{} of {}", zipped.len(), plain.len());
    let other = next(&mut Portions::new(other.unwrap())).await.unwrap().unwrap();
    let third = lists.zipped(&text).await.unwrap();
    assert_eq!(next(&mut Portions::new(third)).await.unwrap().unwrap().as_ptr(), other.as_ptr());
    text.withdraw();
    assert!(lists.zipped(&text).await.is_none());
}
