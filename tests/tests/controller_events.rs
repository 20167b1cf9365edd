//! The stream of changes: who only takes in what it tells is right.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context as _, Result, ensure};
use crik_api::NodeState;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{get, stream};
use serde_json::Value;

/// A stream of events.
struct Events(BufReader<Box<dyn Read + Send>>);

#[derive(Debug, Default)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Events {
    fn of(controller: &Controller) -> Result<Self> {
        Ok(Self(BufReader::new(Box::new(stream(&controller.url("/v1/events"))?))))
    }

    /// The next event; none at the end of the stream. Comments are passed over.
    fn next(&mut self) -> Result<Option<Event>> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let (field, value) = line.trim_end().split_once(':').unwrap_or((line.trim_end(), ""));
            match (field, value.trim_start()) {
                ("event", name) => name.clone_into(&mut event.name),
                ("id", id) => id.clone_into(&mut event.id),
                ("data", data) => event.data = serde_json::from_str(data)?,
                ("", "") if !event.name.is_empty() => return Ok(Some(event)),
                _ => {}
            }
        }
    }

    fn expect(&mut self, name: &str) -> Result<Event> {
        let event = self.next()?.context("the stream ended")?;
        ensure!(event.name == name, "{event:?} is no {name}");
        Ok(event)
    }
}

#[test]
fn all_nodes_come_first_and_then_each_change() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a"), TestNode::ready("b")])?;
    let mut events = Events::of(&controller)?;
    let snapshot = events.expect("snapshot")?;
    ensure!(snapshot.data == get(&controller.url("/v1/nodes"))?.json(), "{snapshot:?}");
    controller.set_nodes(&[TestNode::ready("a").cordoned(), TestNode::ready("b")])?;
    let change = events.expect("node")?;
    ensure!(change.data["name"] == "a" && change.data["state"] == "cordoned", "{change:?}");
    ensure!(change.data["version"] == change.id.as_str() && !change.id.is_empty(), "{change:?}");
    controller.set_nodes(&[TestNode::ready("a").cordoned()])?;
    let gone = events.expect("node")?;
    ensure!(gone.data["name"] == "b" && gone.data["state"] == "gone", "{gone:?}");
    Ok(())
}

#[test]
fn a_source_that_is_lost_and_comes_back_is_told_with_all_nodes() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let mut events = Events::of(&controller)?;
    ensure!(events.expect("snapshot")?.data["nodes"][0]["stale"] == false);
    controller.set_text("kind: Pod")?;
    ensure!(events.expect("snapshot")?.data["nodes"][0]["stale"] == true);
    controller.set_nodes(&[TestNode::ready("a")])?;
    ensure!(events.expect("snapshot")?.data["nodes"][0]["stale"] == false);
    Ok(())
}

#[test]
fn nothing_is_told_before_the_first_list() -> Result<()> {
    let controller = Controller::start_with("kind: [")?;
    let answer = get(&controller.url("/v1/events"))?;
    ensure!(answer.status == 503 && answer.tells_to_wait(), "{}", answer.status);
    Ok(())
}

/// Takes in an event, as every client does.
fn take(known: &mut BTreeMap<String, String>, event: &Event) -> Result<()> {
    let state = |node: &Value| {
        let text = |key: &str| node[key].as_str().map(str::to_owned).context("no node");
        anyhow::Ok((text("name")?, text("state")?))
    };
    match &*event.name {
        "snapshot" => {
            let nodes = event.data["nodes"].as_array().context("no nodes")?;
            *known = nodes.iter().map(state).collect::<Result<_>>()?;
        }
        "node" => known.extend([state(&event.data)?]),
        other => ensure!(other == "lagged" && event.data["missed"].as_u64() > Some(0), "{event:?}"),
    }
    Ok(())
}

#[test]
fn a_client_that_reads_too_slowly_is_told_so_and_is_right_in_the_end() -> Result<()> {
    const NODES: usize = 2_000;
    const READ: usize = 300;
    let controller = Controller::start(&[])?;
    let (mut events, mut known, mut lagged) = (Events::of(&controller)?, BTreeMap::new(), 0);
    // All are cordoned in the end, whenever that is.
    for round in 0.. {
        let cordoned = round % 2 == 0;
        let node = |number: usize| {
            let node = TestNode::ready(&format!("n{number}"));
            if cordoned { node.cordoned() } else { node }
        };
        controller.set_nodes(&(0..NODES).map(node).collect::<Vec<_>>())?;
        let state = if cordoned { NodeState::Cordoned } else { NodeState::Ready };
        controller.becomes(&format!("n{}", NODES - 1), state)?;
        if lagged > 0 && cordoned {
            break;
        }
        for _ in 0..READ {
            let event = events.next()?.context("the stream ended")?;
            take(&mut known, &event)?;
            if event.name == "lagged" {
                lagged += 1;
                take(&mut known, &events.expect("snapshot")?)?;
                break;
            }
        }
        ensure!(round < 100, "it never lagged");
    }
    while known.len() < NODES || known.values().any(|state| state != "cordoned") {
        take(&mut known, &events.next()?.context("the stream ended")?)?;
    }
    Ok(())
}

#[test]
fn a_stream_ends_in_order_when_the_controller_stops() -> Result<()> {
    let mut controller = Controller::start(&[TestNode::ready("a")])?;
    let mut events = Events::of(&controller)?;
    events.expect("snapshot")?;
    controller.terminate()?;
    // An error here would be a stream that was cut off.
    ensure!(events.next()?.is_none());
    ensure!(controller.wait()?.success(), "{}", controller.log());
    Ok(())
}

#[test]
fn streams_of_one_address_have_an_end_in_number_and_make_room_when_they_are_closed() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut events = Events::of(&controller)?;
        events.expect("snapshot")?;
        streams.push(events);
    }
    let refused = get(&controller.url("/v1/events"))?;
    ensure!(refused.status == 503 && refused.tells_to_wait(), "{}", refused.status);
    controller.status("a")?;
    drop(streams);
    controller.metric_becomes("crik_streams", 0.0)?;
    Events::of(&controller)?.expect("snapshot").map(drop)
}
