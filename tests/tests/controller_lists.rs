//! Lists and streams cost what one of them costs, whoever reads them and however slowly, and nobody can take them from the
//! others.

use std::fmt::Write as _;
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};
use crik_tests::controller::Controller;
use crik_tests::controller::client::status_line;
use crik_tests::fleet::usage;
use crik_tests::http::get;
use crik_tests::wait::wait_for;

/// How many lists, or streams, one address may have, and all together.
const EACH: usize = 8;
const ALL: usize = 64;

/// How many nodes there are.
const NODES: usize = 20_000;

/// With the longest names, so that a list is more than the kernel's buffers hold.
fn start() -> Result<Controller> {
    let long = ["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".");
    let mut text = "kind: NodeList\nitems:\n".to_owned();
    for number in 0..NODES {
        writeln!(text, "- {{metadata: {{name: n{number:05}.{long}}}, spec: {{unschedulable: true}}}}")?;
    }
    let controller = Controller::start_with(&text)?;
    controller.logs("the first list of nodes is complete")?;
    Ok(controller)
}

/// As many as may be at a time, from eight addresses.
fn readers(controller: &Controller, path: &str) -> Result<Vec<TcpStream>> {
    let from = (0..ALL).map(|number| 10 + u8::try_from(number / EACH).unwrap_or_default());
    let mut readers = from.map(|last| controller.ask_from(last, path)).collect::<Result<Vec<_>>>()?;
    for reader in &mut readers {
        let line = status_line(reader)?;
        ensure!(line == "HTTP/1.1 200", "{line}");
    }
    Ok(readers)
}

#[test]
fn readers_that_take_nothing_share_one_text() -> Result<()> {
    let controller = start()?;
    let length = get(&controller.url("/v1/nodes"))?.body.len() as u64;
    let before = usage::resident(controller.pid())?;
    let lists = readers(&controller, "/v1/nodes")?;
    let streams = readers(&controller, "/v1/events")?;
    ensure!(controller.metric("crik_lists")? > 60.0 && controller.metric("crik_streams")? > 60.0);
    let grown = usage::resident(controller.pid())?.saturating_sub(before);
    println!(
        "{} readers of {:.1} MiB each cost {:.1} MiB",
        2 * ALL,
        length as f64 / f64::from(1 << 20),
        grown as f64 / f64::from(1 << 20)
    );
    // Each has one portion, of 64 KiB, on its way, and its connection.
    ensure!(grown < length + 2 * ALL as u64 * (128 << 10), "{grown} bytes");
    // With 16 bytes for each node, by which it is found there.
    ensure!(controller.metric("crik_lists_held_bytes")? <= (length + 16 * NODES as u64) as f64);
    drop((lists, streams));
    controller.metric_becomes("crik_streams", 0.0)
}

/// A text for each would be as much as the readers ask for.
#[test]
fn readers_of_as_many_different_parts_share_it_too() -> Result<()> {
    let controller = start()?;
    let length = get(&controller.url("/v1/nodes"))?.body.len() as u64;
    let before = usage::resident(controller.pid())?;
    let mut readers = Vec::new();
    for number in 0..ALL {
        let last = 10 + u8::try_from(number / EACH).unwrap_or_default();
        let path = format!("/v1/nodes?limit={}&state=cordoned,gone", NODES - 1 - number);
        readers.push(controller.ask_from(last, &path)?);
        ensure!(status_line(readers.last_mut().context("none")?)? == "HTTP/1.1 200");
    }
    ensure!(controller.metric("crik_lists")? > 60.0);
    let grown = usage::resident(controller.pid())?.saturating_sub(before);
    println!("{ALL} readers of different parts cost {:.1} MiB", grown as f64 / f64::from(1 << 20));
    ensure!(grown < length + ALL as u64 * (256 << 10), "{grown} bytes");
    ensure!(controller.metric("crik_lists_held_bytes")? <= (length + 16 * NODES as u64) as f64);
    Ok(())
}

#[test]
fn one_address_cannot_take_lists_and_streams_from_the_others() -> Result<()> {
    let controller = start()?;
    for path in ["/v1/nodes", "/v1/events"] {
        let mut mine = (0..EACH).map(|_| controller.ask_from(20, path)).collect::<Result<Vec<_>>>()?;
        for reader in &mut mine {
            ensure!(status_line(reader)? == "HTTP/1.1 200");
        }
        let refused = status_line(&mut controller.ask_from(20, path)?)?;
        ensure!(refused == "HTTP/1.1 503", "{path}: {refused}");
        for path in ["/v1/nodes", "/v1/events"] {
            let others = status_line(&mut controller.ask_from(21, path)?)?;
            ensure!(others == "HTTP/1.1 200", "{path}: {others}");
        }
        drop(mine);
        wait_for("room for the address", || {
            let answer = controller.ask_from(20, path).and_then(|mut stream| status_line(&mut stream));
            answer.is_ok_and(|line| line == "HTTP/1.1 200").then_some(())
        })?;
    }
    Ok(())
}
