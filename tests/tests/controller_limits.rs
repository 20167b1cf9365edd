//! What many clients, and slow ones, can do to the controller: nothing that others notice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_api::NodeState;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::fleet::swarm::Swarm;
use crik_tests::fleet::way::Way;
use crik_tests::http::get;
use crik_tests::wait::{PATIENCE, wait_for};
use socket2::{Domain, Socket, Type};

const POLLS: usize = 5_000;

fn connect(controller: &Controller) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", controller.port()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A poll that waits.
fn poll(controller: &Controller) -> Result<TcpStream> {
    let mut stream = connect(controller)?;
    stream.write_all(b"GET /v1/nodes/a?wait=300s HTTP/1.1\r\nHost: x\r\n\r\n")?;
    Ok(stream)
}

/// Whether nothing has come to a poll, so that it waits or is about to.
fn is_unanswered(poll: &TcpStream) -> bool {
    let looked = poll.set_nonblocking(true).and_then(|()| poll.peek(&mut [0]));
    let restored = poll.set_nonblocking(false);
    restored.is_ok() && looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// All that comes until the connection ends.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn resident(controller: &Controller) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", controller.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

#[test]
fn five_thousand_waiting_polls_are_answered_at_a_stop() -> Result<()> {
    let nodes: Vec<TestNode> = (0..POLLS).map(|number| TestNode::ready(&format!("n{number}"))).collect();
    // All come from one address.
    let mut controller = Controller::start_flagged(&nodes, &["--max-connections-per-peer", "6000"])?;
    let since = controller.status("n0")?.version;
    let epoch = since.split('-').next().context("no epoch")?;
    let list = get(&controller.url("/v1/nodes"))?.json();
    let versions: BTreeMap<String, String> = list["nodes"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|node| Some((node["name"].as_str()?.to_owned(), node["version"].as_str()?.to_owned())))
        .collect();
    ensure!(versions.len() == POLLS && versions.values().all(|version| version.starts_with(epoch)));
    let before = resident(&controller)?;
    let mut swarm = Swarm::start(&Way::to(controller.port()), &versions, 0)?;
    controller.metric_becomes("crik_waiting_polls", 5_000.0)?;
    let each = resident(&controller)?.saturating_sub(before) / POLLS as u64;
    println!("a waiting poll takes {:.1} KiB of memory", each as f64 / 1024.0);
    ensure!(each <= 12 << 10, "{each} bytes");

    let asked = Instant::now();
    controller.terminate()?;
    let mut answered = BTreeMap::new();
    while answered.len() < POLLS {
        match swarm.answer(PATIENCE) {
            // A poll's wait may be over before the stop.
            Ok(answer) if answer.at < asked => {}
            Ok(answer) => {
                ensure!(
                    answer.text.starts_with("HTTP/1.1 200") && answer.text.contains("\"state\":\"ready\"")
                );
                answered.insert(answer.name, answer.at);
            }
            // Each asks again when it was answered, and then nobody serves any more.
            Err(again) if swarm.goes_on() => drop(again),
            Err(error) => return Err(error.context(format!("{} polls were answered", answered.len()))),
        }
    }
    ensure!(answered.len() == POLLS, "{} nodes were told of", answered.len());
    let last = answered.into_values().max().context("no answer")?;
    println!("{POLLS} waiting polls were answered within {:?} of the SIGTERM", last.duration_since(asked));
    ensure!(controller.wait()?.success(), "{}", controller.log());
    Ok(())
}

#[test]
fn a_poll_for_which_there_is_no_room_is_told_to_come_again() -> Result<()> {
    let controller = Controller::start_flagged(&[TestNode::ready("a")], &["--max-waiting-polls", "3"])?;
    let polls = [poll(&controller)?, poll(&controller)?, poll(&controller)?];
    controller.metric_becomes("crik_waiting_polls", 3.0)?;
    let refused = get(&controller.url("/v1/nodes/a?wait=300s"))?;
    ensure!(refused.status == 503 && refused.tells_to_wait(), "{}", refused.status);
    ensure!(refused.body.contains("--max-waiting-polls"), "{}", refused.body);
    ensure!(get(&controller.url("/v1/nodes/a"))?.status == 200, "a request that does not wait is refused");
    drop(polls);
    controller.metric_becomes("crik_waiting_polls", 0.0)?;
    ensure!(get(&controller.url("/v1/nodes/a?wait=10ms"))?.status == 200);
    Ok(())
}

#[test]
fn a_connection_for_which_there_is_no_room_is_told_so_and_probes_still_work() -> Result<()> {
    // 192 of the descriptors are not for clients.
    let controller = Controller::start_with_descriptors(256, &[TestNode::ready("a")])?;
    controller.logs("only 64 connections fit the limit of 256 open files")?;
    let mut polls = Vec::new();
    for _ in 0..64 {
        polls.push(poll(&controller)?);
    }
    controller.metric_becomes("crik_waiting_polls", 64.0)?;
    let refused = get(&controller.url("/v1/nodes/a"))?;
    ensure!(refused.status == 503 && refused.tells_to_wait(), "{}", refused.status);
    ensure!(refused.header("connection") == "close", "the connection stays");
    for probe in ["/healthz", "/readyz"] {
        ensure!(get(&controller.url(probe))?.status == 200, "{probe}");
    }
    drop(polls);
    controller.metric_becomes("crik_waiting_polls", 0.0)?;
    ensure!(get(&controller.url("/v1/nodes/a"))?.status == 200);
    Ok(())
}

#[test]
fn an_address_that_has_too_many_connections_is_told_so_and_others_are_served() -> Result<()> {
    let controller =
        Controller::start_flagged(&[TestNode::ready("a")], &["--max-connections-per-peer", "3"])?;
    let mut polls: Vec<TcpStream> = Vec::new();
    // From another address of this machine: the metrics are told there, too.
    let elsewhere = |path: &str| -> Result<String> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into())?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, controller.port())).into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        Ok(rest(stream))
    };
    wait_for("three polls to wait", || {
        // A connection that has ended here takes a place until the controller has seen it, and costs a poll its own.
        polls.retain(is_unanswered);
        while polls.len() < 3 {
            polls.push(poll(&controller).ok()?);
        }
        elsewhere("/metrics").is_ok_and(|text| text.contains("crik_waiting_polls 3\n")).then_some(())
    })?;
    let refused = get(&controller.url("/v1/nodes/a"))?;
    ensure!(refused.status == 503 && refused.tells_to_wait(), "{}", refused.status);
    ensure!(refused.body.contains("--max-connections-per-peer"), "{}", refused.body);
    ensure!(get(&controller.url("/healthz"))?.status == 200, "a probe is refused");
    let answer = elsewhere("/v1/nodes/a")?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(polls);
    wait_for("room for the address", || {
        get(&controller.url("/v1/nodes/a")).is_ok_and(|answer| answer.status == 200).then_some(())
    })
}

#[test]
fn far_more_connections_than_descriptors_hold_up_nothing_for_long() -> Result<()> {
    let controller = Controller::start_with_descriptors(256, &[TestNode::ready("a")])?;
    let silent = (0..500).map(|_| connect(&controller)).collect::<Result<Vec<_>>>()?;
    let answer = get(&controller.url("/v1/nodes/a"))?;
    ensure!(answer.status == 200 || answer.status == 503, "{}", answer.status);
    drop(silent);
    controller.becomes("a", NodeState::Ready)
}

#[test]
fn a_head_that_does_not_end_ends_the_connection() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let mut half = connect(&controller)?;
    half.write_all(b"GET /v1/nodes/a HTTP/1.1\r\nHo")?;
    let began = Instant::now();
    ensure!(!rest(half).contains("200 OK"));
    ensure!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    Ok(())
}

#[test]
fn a_request_with_a_body_is_refused_without_reading_it() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let mut stream = connect(&controller)?;
    stream.write_all(b"GET /v1/nodes/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")?;
    let answer = rest(stream);
    ensure!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"error\""), "{answer}");
    Ok(())
}

#[test]
fn a_client_that_does_not_read_is_let_go() -> Result<()> {
    let nodes: Vec<TestNode> = (0..20_000).map(|number| TestNode::ready(&format!("n{number}"))).collect();
    let controller = Controller::start(&nodes)?;
    let mut stream = connect(&controller)?;
    // More than the kernel's buffers hold, and each more than the server's own.
    for _ in 0..10 {
        stream.write_all(b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n")?;
    }
    controller.metric_becomes("crik_lists", 1.0)?;
    // What is left then is the connection that asks.
    controller.metric_becomes("crik_lists", 0.0)?;
    controller.metric_becomes("crik_connections", 1.0)?;
    drop(stream);
    Ok(())
}

#[test]
fn a_replica_that_is_to_stop_serves_on_and_sends_everyone_away_bit_by_bit() -> Result<()> {
    const MANY: usize = 200;
    let mut controller = Controller::start_flagged(&[TestNode::ready("a")], &["--shutdown-delay", "8s"])?;
    let polls = (0..MANY).map(|_| poll(&controller)).collect::<Result<Vec<_>>>()?;
    controller.metric_becomes("crik_waiting_polls", MANY as f64)?;
    let told = Instant::now();
    controller.terminate()?;
    wait_for("the probe to say so", || (get(&controller.url("/readyz")).ok()?.status == 503).then_some(()))?;
    // Names may still lead here.
    let answer = get(&controller.url("/v1/nodes/a"))?;
    ensure!(answer.status == 200 && answer.header("connection") == "close", "{}", answer.status);
    let mut answered = Vec::new();
    for poll in polls {
        let (mut poll, mut byte) = (poll, [0]);
        poll.read_exact(&mut byte)?;
        let answer = format!("{}{}", char::from(byte[0]), rest(poll));
        ensure!(answer.contains("200 OK") && answer.contains("connection: close"), "{answer}");
        answered.push(told.elapsed());
    }
    // Read in the order in which they were sent, so that the last of the first half of them tells of all before it.
    let (half, last) = (answered[MANY / 2], answered[MANY - 1]);
    println!("half of {MANY} polls were answered after {half:?}, the last after {last:?}");
    ensure!(last > Duration::from_secs(2) && last < Duration::from_secs(8), "{last:?}");
    ensure!(get(&controller.url("/v1/nodes/a"))?.status == 200, "it serves no more");
    ensure!(controller.wait()?.success(), "{}", controller.log());
    ensure!(told.elapsed() >= Duration::from_secs(8), "{:?}", told.elapsed());
    Ok(())
}
