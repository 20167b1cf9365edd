//! Whoever asks for a node plainly is answered ahead of the router. Nobody can tell: asked in another spelling, which the router reads,
//! it is the same answer, and it is counted in the same way.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::get;
use crik_tests::wait::wait_for;

/// How a node can be asked for, but for its spelling.
const QUESTIONS: [&str; 15] = [
    "GET {} HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\nAccept: text/plain\r\nIf-None-Match: *\r\n\r\n",
    "GET http://x{} HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET {} HTTP/1.0\r\n\r\n",
    "GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    // None of these is answered with the node.
    "GET {} HTTP/1.1\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
    "GET {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "GET {} HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
    "HEAD {} HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST {} HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS {} HTTP/1.1\r\nHost: x\r\n\r\n",
    "get {} HTTP/1.1\r\nHost: x\r\n\r\n",
];

/// A node as it is plainly asked for, and then as only the router reads it.
fn spellings(node: &str) -> [String; 4] {
    let (first, rest) = node.split_at(1);
    let escaped = format!("/v1/nodes/%{:02x}{rest}", first.as_bytes()[0]);
    let plain = format!("/v1/nodes/{node}");
    [plain.clone(), escaped, format!("{plain}?"), format!("{plain}?wait=0s")]
}

/// All that comes back, without what time and chance decide; and after it, if the connection is still good, what comes to a second
/// question.
fn said(controller: &Controller, question: &str) -> Result<String> {
    let mut stream = TcpStream::connect((controller.ip(), controller.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(question.as_bytes())?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(String::from_utf8(said)?.split("\r\n\r\n").map(in_order).collect::<Vec<_>>().join("\n\n"))
}

/// Headers have no order (RFC 9110, section 5.3).
fn in_order(head: &str) -> String {
    let decided = |line: &&str| !line.starts_with("date: ") && !line.starts_with("retry-after: ");
    let mut lines: Vec<_> = head.lines().filter(decided).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// What is counted of requests.
fn counted(controller: &Controller) -> Result<BTreeMap<String, f64>> {
    let metrics = get(&controller.url("/metrics"))?.body;
    let of_requests = |line: &&str| {
        let counts = ["crik_requests_total{", "crik_request_duration_seconds_count{"];
        counts.iter().any(|name| line.starts_with(name))
            && !line.contains("/metrics")
            && !line.contains("/healthz")
    };
    let lines = metrics.lines().filter(of_requests).filter_map(|line| line.rsplit_once(' '));
    lines.map(|(name, value)| Ok((name.to_owned(), value.parse()?))).collect()
}

/// What comes back, and what was counted meanwhile.
fn asked(controller: &Controller, question: &str) -> Result<(String, BTreeMap<String, f64>)> {
    let before = counted(controller)?;
    let said = said(controller, question)?;
    let mut counts = counted(controller)?;
    for (name, count) in &mut counts {
        *count -= before.get(name).unwrap_or(&0.0);
    }
    counts.retain(|_, count| *count != 0.0);
    Ok((said, counts))
}

/// That all spellings of a node are answered alike; returns what came to the plainest question.
fn all_is_the_same(controller: &Controller, node: &str) -> Result<String> {
    for question in QUESTIONS {
        let [plain, others @ ..] = spellings(node).map(|spelling| question.replacen("{}", &spelling, 1));
        let expected = asked(controller, &plain)?;
        ensure!(!expected.0.is_empty() && !expected.1.is_empty(), "{plain:?}: {expected:?}");
        for other in others {
            let found = asked(controller, &other)?;
            ensure!(found == expected, "{plain:?}: {expected:?}\n{other:?}: {found:?}");
        }
    }
    said(controller, &QUESTIONS[0].replacen("{}", &spellings(node)[0], 1))
}

#[test]
fn a_node_is_told_alike_however_it_is_asked_for() -> Result<()> {
    let nodes =
        [TestNode::ready("ready"), TestNode::ready("c").cordoned(), TestNode::ready("s.d-1").shutting_down()];
    let controller = Controller::start(&nodes)?;
    for (node, state) in
        [("ready", "ready"), ("c", "cordoned"), ("s.d-1", "shutting-down"), ("none", "unknown")]
    {
        let told = all_is_the_same(&controller, node)?;
        ensure!(
            told.starts_with("HTTP/1.1 200") && told.contains(&format!("\"state\":\"{state}\"")),
            "{told}"
        );
    }
    controller.set_text("kind: Pod")?;
    wait_for("the source to be lost", || controller.status("c").is_ok_and(|c| c.stale).then_some(()))?;
    for node in ["ready", "c"] {
        let told = all_is_the_same(&controller, node)?;
        ensure!(told.contains("\"stale\":true"), "{told}");
    }
    controller.set_nodes(&[TestNode::ready("c")])?;
    wait_for("the source to be back", || controller.status("c").is_ok_and(|c| !c.stale).then_some(()))?;
    let told = all_is_the_same(&controller, "c")?;
    ensure!(told.contains("\"state\":\"ready\"") && told.contains("\"stale\":false"), "{told}");
    Ok(())
}

#[test]
fn what_is_said_in_place_of_a_node_is_said_however_it_is_asked_for() -> Result<()> {
    let unlisted = Controller::start_with("kind: [")?;
    ensure!(all_is_the_same(&unlisted, "a")?.contains("not-listed"));
    let leaving = Controller::start_flagged(&[TestNode::ready("a")], &["--shutdown-delay", "60s"])?;
    leaving.terminate()?;
    leaving.logs("stopping after SIGTERM")?;
    let told = all_is_the_same(&leaving, "a")?;
    ensure!(told.contains("connection: close") && told.contains("\"state\":\"ready\""), "{told}");
    Ok(())
}

#[test]
fn one_that_there_is_no_room_for_is_told_so_however_it_asks() -> Result<()> {
    let full = Controller::start_flagged(&[TestNode::ready("a")], &["--max-connections-per-peer", "1"])?;
    let mut held = TcpStream::connect((full.ip(), full.port()))?;
    // Until it has its place.
    held.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
    held.read_exact(&mut [0; 12])?;
    let told = all_is_the_same(&full, "a")?;
    ensure!(told.starts_with("HTTP/1.1 503") && told.contains("--max-connections-per-peer"), "{told}");
    Ok(())
}
