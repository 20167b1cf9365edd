//! What a client of the list need not read: what it has already, the nodes that it does not ask for, and what gzip leaves out.

use anyhow::{Context as _, Result, ensure};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{Answer, get, get_with};
use crik_tests::wait::wait_for;
use serde_json::Value;

fn nodes(number: usize) -> Vec<TestNode> {
    let node = |number: usize| TestNode::ready(&format!("n{number:02}"));
    let mixed = (0..number).map(|each| if each % 3 == 0 { node(each).cordoned() } else { node(each) });
    mixed.collect()
}

fn start(number: usize) -> Result<Controller> {
    let controller = Controller::start(&nodes(number))?;
    controller.logs("the first list of nodes is complete")?;
    Ok(controller)
}

fn list(controller: &Controller, query: &str) -> Result<Answer> {
    let answer = get(&controller.url(&format!("/v1/nodes{query}")))?;
    ensure!(answer.status == 200, "{query}: {} {}", answer.status, answer.body);
    Ok(answer)
}

fn names(list: &Value) -> Vec<&str> {
    let nodes = list["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| node["name"].as_str()).collect()
}

fn all(controller: &Controller) -> Result<Value> {
    Ok(list(controller, "")?.json())
}

#[test]
fn pages_of_a_list_are_the_list_although_nodes_come_and_go_meanwhile() -> Result<()> {
    let controller = start(50)?;
    let before = all(&controller)?;
    let mut page = list(&controller, "?limit=8")?.json();
    let mut read = page["nodes"].as_array().cloned().unwrap_or_default();
    while let Some(next) = page["continue"].as_str() {
        if read.len() == 16 {
            controller.set_nodes(&nodes(20))?;
            wait_for("nodes to be gone", || {
                (list(&controller, "?state=gone").ok()?.json()["nodes"].as_array()?.len() == 30).then_some(())
            })?;
        }
        page = list(&controller, &format!("?limit=8&continue={next}"))?.json();
        let nodes = page["nodes"].as_array().context("no nodes")?;
        ensure!(!nodes.is_empty() && nodes.len() <= 8, "{page}");
        read.extend_from_slice(nodes);
    }
    ensure!(Value::from(read) == before["nodes"] && all(&controller)? != before);
    Ok(())
}

#[test]
fn a_page_of_a_list_that_is_gone_is_refused_and_says_what_to_do() -> Result<()> {
    let mut controller = start(50)?;
    let page = list(&controller, "?limit=8")?.json();
    let next = page["continue"].as_str().context("no next page")?;
    controller.restart()?;
    controller.logs("the first list of nodes is complete")?;
    let gone = get(&controller.url(&format!("/v1/nodes?continue={next}")))?;
    ensure!(gone.status == 410 && gone.json()["code"] == "list-expired", "{} {}", gone.status, gone.body);
    ensure!(gone.body.contains("begin anew without continue"), "{}", gone.body);
    Ok(())
}

#[test]
fn only_the_states_that_are_asked_for_are_listed() -> Result<()> {
    let controller = start(9)?;
    let cordoned = ["n00", "n03", "n06"];
    ensure!(names(&list(&controller, "?state=cordoned")?.json()) == cordoned);
    ensure!(names(&list(&controller, "?state=cordoned,gone,draining")?.json()) == cordoned);
    ensure!(names(&list(&controller, "?state=gone")?.json()).is_empty());
    let page = list(&controller, "?state=cordoned&limit=2")?.json();
    ensure!(names(&page) == ["n00", "n03"], "{page}");
    let next = page["continue"].as_str().context("no next page")?;
    let rest = list(&controller, &format!("?state=cordoned&continue={next}"))?.json();
    ensure!(names(&rest) == ["n06"] && rest.get("continue").is_none(), "{rest}");
    for query in ["?state=off", "?state=", "?limit=0", "?limit=x", "?continue=x", "?limit=1&limit=2"] {
        let refused = get(&controller.url(&format!("/v1/nodes{query}")))?;
        ensure!(
            refused.status == 400 && refused.json()["code"] == "invalid-parameter",
            "{query}: {}",
            refused.body
        );
    }
    Ok(())
}

#[test]
fn who_has_the_list_as_it_is_is_told_so_without_it_until_a_node_changes() -> Result<()> {
    let controller = start(3)?;
    for (round, query) in ["", "?state=cordoned", "?limit=1"].into_iter().enumerate() {
        let first = list(&controller, query)?;
        let tag = first.header("etag").to_owned();
        let again =
            |tag: &str| get_with(&controller.url(&format!("/v1/nodes{query}")), &[("If-None-Match", tag)]);
        let same = again(&tag)?;
        ensure!(same.status == 304 && same.body.is_empty(), "{query}: {} {}", same.status, same.body);
        ensure!(same.header("etag") == tag && same.header("vary") == "accept-encoding", "{query}: {tag}");
        ensure!(again("\"of-another\"")?.body == first.body);
        controller.set_nodes(&[TestNode::ready(&format!("other-{round}"))])?;
        let changed = wait_for("another list", || again(&tag).ok().filter(|answer| answer.status == 200))?;
        ensure!(changed.header("etag") != tag && changed.body != first.body, "{query}: {}", changed.body);
        controller.set_nodes(&nodes(3))?;
        wait_for("the nodes to be back", || {
            (names(&list(&controller, "?state=cordoned").ok()?.json()) == ["n00"]).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn a_list_whose_source_is_lost_is_another_one() -> Result<()> {
    let controller = start(3)?;
    let tag = list(&controller, "")?.header("etag").to_owned();
    controller.set_text("kind: Pod")?;
    let answer = wait_for("stale", || {
        let again = get_with(&controller.url("/v1/nodes"), &[("If-None-Match", &tag)]).ok()?;
        (again.status == 200).then_some(again)
    })?;
    ensure!(answer.json()["nodes"][1]["stale"] == true, "{}", answer.body);
    Ok(())
}

#[test]
fn the_list_is_in_gzip_for_who_takes_it() -> Result<()> {
    let controller = start(90)?;
    let zipped = get_with(&controller.url("/v1/nodes"), &[("Accept-Encoding", "br, gzip")])?;
    let plain = get_with(&controller.url("/v1/nodes"), &[("Accept-Encoding", "gzip;q=0")])?;
    ensure!(zipped.header("content-encoding") == "gzip" && plain.header("content-encoding").is_empty());
    ensure!(zipped.body == plain.body && zipped.header("etag") == plain.header("etag"));
    ensure!(
        zipped.header("content-length") == zipped.sent.to_string(),
        "{}",
        zipped.header("content-length")
    );
    println!("{} bytes in gzip, {} without", zipped.sent, plain.sent);
    ensure!(zipped.sent * 5 < plain.sent && plain.sent == plain.body.len());
    let part = get_with(&controller.url("/v1/nodes?limit=50"), &[("Accept-Encoding", "gzip")])?;
    ensure!(part.header("content-encoding").is_empty() && names(&part.json()).len() == 50, "{}", part.body);
    Ok(())
}
