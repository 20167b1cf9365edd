//! The controller's HTTP API, against the real program.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{Answer, get, post};
use crik_tests::wait::wait_for;
use serde_json::Value;

fn status(controller: &Controller, name: &str) -> Result<Value> {
    let answer = get(&controller.url(&format!("/v1/nodes/{name}")))?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    Ok(answer.json())
}

fn state(controller: &Controller, name: &str) -> Result<String> {
    Ok(status(controller, name)?["state"].as_str().context("no state")?.to_owned())
}

fn becomes(controller: &Controller, name: &str, expected: &str) -> Result<()> {
    wait_for(&format!("{name} to become {expected}"), || {
        (state(controller, name).ok()? == expected).then_some(())
    })
}

fn version(status: &Value) -> &str {
    status["version"].as_str().unwrap_or_default()
}

#[test]
fn each_state_is_told_with_its_reasons() -> Result<()> {
    let controller = Controller::start(&[
        TestNode::ready("well"),
        TestNode::ready("cordoned").cordoned(),
        TestNode::ready("draining").tainted("ToBeDeletedByClusterAutoscaler", "NoSchedule"),
        TestNode::ready("candidate").tainted("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule"),
        TestNode::ready("off").shutting_down(),
    ])?;
    for (name, expected) in [
        ("well", "ready"),
        ("cordoned", "cordoned"),
        ("draining", "draining"),
        ("candidate", "ready"),
        ("off", "shutting-down"),
        ("never-seen", "unknown"),
    ] {
        ensure!(state(&controller, name)? == expected, "{name} is not {expected}");
    }
    ensure!(status(&controller, "off")?["reasons"][0]["signal"] == "kubelet-shutdown");
    ensure!(status(&controller, "candidate")?["hints"][0]["signal"] == "autoscaler-candidate");
    Ok(())
}

#[test]
fn the_list_has_all_nodes_by_name() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("b"), TestNode::ready("a").cordoned()])?;
    let list = get(&controller.url("/v1/nodes"))?.json();
    let names: Vec<&str> =
        list["nodes"].as_array().context("no list")?.iter().filter_map(|n| n["name"].as_str()).collect();
    ensure!(names == ["a", "b"], "{list}");
    Ok(())
}

#[test]
fn a_waiting_poll_answers_within_fifty_milliseconds_of_a_change() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let mut latencies = Vec::new();
    for round in 0..21 {
        let since = version(&status(&controller, "a")?).to_owned();
        let url = controller.url(&format!("/v1/nodes/a?wait=60s&since={since}"));
        let (asking, waiting) =
            (Instant::now(), thread::spawn(move || get(&url).map(|answer| (answer, Instant::now()))));
        // The poll has arrived when a plain request that was sent later has been answered.
        while asking.elapsed() < Duration::from_millis(20) {
            state(&controller, "a")?;
        }
        let node = TestNode::ready("a");
        let changed = Instant::now();
        controller.set_nodes(&[if round % 2 == 0 { node.cordoned() } else { node }])?;
        let (answer, at) = waiting.join().map_err(|_| anyhow::anyhow!("the poll panicked"))??;
        ensure!(version(&answer.json()) != since, "{}", answer.body);
        latencies.push(at.saturating_duration_since(changed));
    }
    latencies.sort();
    let median = latencies[latencies.len() / 2];
    println!("file written to poll answered: median {median:?}, worst {:?}", latencies.last());
    ensure!(median < Duration::from_millis(50), "{latencies:?}");
    Ok(())
}

#[test]
fn a_poll_for_a_node_that_is_not_there_answers_when_it_comes() -> Result<()> {
    let controller = Controller::start(&[])?;
    let since = version(&status(&controller, "late")?).to_owned();
    let url = controller.url(&format!("/v1/nodes/late?wait=60s&since={since}"));
    let waiting = thread::spawn(move || get(&url));
    controller.set_nodes(&[TestNode::ready("late")])?;
    let answer = waiting.join().map_err(|_| anyhow::anyhow!("the poll panicked"))??;
    ensure!(answer.json()["state"] == "ready", "{}", answer.body);
    Ok(())
}

#[test]
fn a_poll_ends_at_its_deadline_with_what_was_known() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let before = status(&controller, "a")?;
    for query in [format!("wait=100ms&since={}", version(&before)), "wait=100ms".to_owned()] {
        let began = Instant::now();
        let answer = get(&controller.url(&format!("/v1/nodes/a?{query}")))?;
        ensure!(answer.json() == before && began.elapsed() >= Duration::from_millis(100), "{}", answer.body);
    }
    Ok(())
}

#[test]
fn another_version_is_answered_at_once() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let answer = get(&controller.url("/v1/nodes/a?wait=300s&since=of-another-replica"))?;
    ensure!(answer.json()["state"] == "ready");
    Ok(())
}

#[test]
fn what_cannot_be_a_node_is_refused() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let long = "a".repeat(254);
    let label_of_legal_length = "a".repeat(253);
    for name in ["A", "a_b", "-a", "a-", "a..b", "%2e%2e", "a%00", "%ff", "a%20b", &long] {
        let answer = get(&controller.url(&format!("/v1/nodes/{name}")))?;
        ensure!(answer.status == 400, "{name:?}: {} {}", answer.status, answer.body);
        ensure!(answer.json()["error"].is_string(), "{name:?}: {}", answer.body);
    }
    ensure!(state(&controller, &label_of_legal_length)? == "unknown");
    Ok(())
}

/// Sends bytes and returns the first line of the answer, if any comes.
fn raw(controller: &Controller, request: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", controller.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // A server that has heard enough may close while we still write.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

#[test]
fn huge_and_broken_requests_are_refused_and_nothing_else_suffers() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    for size in [10 << 10, 1 << 20] {
        let request =
            format!("GET /v1/nodes/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(size));
        let said = raw(&controller, request.as_bytes())?;
        ensure!(said.is_empty() || said.contains(" 4"), "{size} bytes gave {said:?}");
    }
    ensure!(raw(&controller, b"nonsense\r\n\r\n")?.contains(" 400 "));
    ensure!(state(&controller, "a")? == "ready");
    Ok(())
}

#[test]
fn a_client_that_sends_nothing_is_cut_off() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    raw(&controller, b"GET /v1/nodes/a HTTP/1.1\r\nHost:").map(drop)
}

/// Whether an error is what programs read as one (RFC 9457), and what agents of 0.1.0 read.
fn is_problem(answer: &Answer, status: u16, code: &str) -> Result<()> {
    let body = answer.json();
    ensure!(answer.status == status && body["status"] == status && body["code"] == code, "{}", answer.body);
    ensure!(answer.header("content-type") == "application/problem+json", "{}", answer.header("content-type"));
    ensure!(body["detail"].is_string() && body["error"] == body["detail"], "{body}");
    ensure!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    Ok(())
}

/// A proxy in front might take such a request for another host's (RFC 9112, section 3.2).
#[test]
fn who_does_not_say_whom_he_asks_is_refused() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let nobody = raw(&controller, b"GET /v1/nodes/a HTTP/1.1\r\nConnection: close\r\n\r\n")?;
    ensure!(nobody.contains(" 400 "), "{nobody}");
    let old = raw(&controller, b"GET /v1/nodes/a HTTP/1.0\r\n\r\n")?;
    ensure!(old.contains(" 200 "), "{old}");
    Ok(())
}

#[test]
fn wrong_methods_routes_and_parameters_are_explained() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let wrong = post(&controller.url("/v1/nodes/a"))?;
    ensure!(
        wrong.status == 405 && wrong.header("allow").contains("GET") && wrong.json()["error"].is_string(),
        "{}",
        wrong.body
    );
    is_problem(&wrong, 405, "method-not-allowed")?;
    is_problem(&get(&controller.url("/v2/nodes"))?, 404, "no-such-route")?;
    is_problem(&get(&controller.url("/v1/nodes/A"))?, 400, "invalid-name")?;
    is_problem(&get(&controller.url("/v1/nodes/a?wait=soon"))?, 400, "invalid-parameter")?;
    is_problem(&get(&controller.url("/v1/pods/default/a"))?, 404, "pods-not-served")?;
    for wait in ["soon", "-1s", "", "5"] {
        let answer = get(&controller.url(&format!("/v1/nodes/a?wait={wait}")))?;
        ensure!(
            answer.status == 400 && answer.body.contains("no duration"),
            "{wait:?}: {} {}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}

#[test]
fn nothing_is_said_before_the_first_list() -> Result<()> {
    let controller = Controller::start_with("kind: [")?;
    ensure!(get(&controller.url("/healthz"))?.status == 200);
    for path in ["/readyz", "/v1/nodes", "/v1/nodes/a", "/v1/nodes/a?wait=60s", "/nodes/a"] {
        let answer = get(&controller.url(path))?;
        ensure!(answer.tells_to_wait(), "{path}: {}", answer.status);
        is_problem(&answer, 503, "not-listed")?;
    }
    controller.set_nodes(&[TestNode::ready("a")])?;
    becomes(&controller, "a", "ready")?;
    ensure!(get(&controller.url("/readyz"))?.status == 200);
    Ok(())
}

/// Those who were refused together would otherwise come back together.
#[test]
fn who_is_told_to_come_again_is_told_different_times() -> Result<()> {
    let controller = Controller::start_with("kind: [")?;
    let mut told = BTreeMap::<String, u32>::new();
    for _ in 0..200 {
        let answer = get(&controller.url("/v1/nodes/a"))?;
        *told.entry(answer.header("retry-after").to_owned()).or_default() += 1;
    }
    // Each of the four is told 50 times on average, with a deviation of 6.
    ensure!(told.keys().eq(["1", "2", "3", "4"]) && told.values().all(|times| *times > 10), "{told:?}");
    Ok(())
}

#[test]
fn a_source_that_is_lost_makes_states_stale_and_no_worse() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a").cordoned()])?;
    controller.set_text("kind: Pod")?;
    wait_for("stale", || (status(&controller, "a").ok()?["stale"] == true).then_some(()))?;
    ensure!(state(&controller, "a")? == "cordoned");
    ensure!(get(&controller.url("/readyz"))?.status == 200);
    controller.set_nodes(&[TestNode::ready("a")])?;
    becomes(&controller, "a", "ready")?;
    ensure!(status(&controller, "a")?["stale"] == false);
    Ok(())
}

#[test]
fn a_shutdown_is_remembered_when_the_node_goes_silent() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a").shutting_down()])?;
    let before = version(&status(&controller, "a")?).to_owned();
    controller.set_nodes(&[TestNode::ready("a").silent(), TestNode::ready("b")])?;
    becomes(&controller, "b", "ready")?;
    ensure!(state(&controller, "a")? == "shutting-down" && version(&status(&controller, "a")?) == before);
    controller.set_nodes(&[TestNode::ready("b")])?;
    becomes(&controller, "a", "gone")?;
    controller.set_nodes(&[TestNode::ready("a").recreated()])?;
    becomes(&controller, "a", "ready")
}

#[test]
fn a_restart_in_the_middle_of_a_shutdown_changes_nothing_but_the_version() -> Result<()> {
    let mut controller = Controller::start(&[TestNode::ready("a").shutting_down()])?;
    let before = status(&controller, "a")?;
    controller.restart()?;
    let after = status(&controller, "a")?;
    ensure!(after["state"] == "shutting-down" && version(&after) != version(&before), "{after}");
    Ok(())
}

#[test]
fn waiting_polls_are_answered_at_a_shutdown() -> Result<()> {
    let mut controller = Controller::start(&[TestNode::ready("a")])?;
    let mut polls = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(("127.0.0.1", controller.port()))?;
        stream.write_all(b"GET /v1/nodes/a?wait=300s HTTP/1.1\r\nHost: x\r\n\r\n")?;
        polls.push(stream);
    }
    wait_for("the polls to be read", || (read_by_server(controller.port()) == polls.len()).then_some(()))?;
    controller.terminate()?;
    for mut poll in polls {
        let mut answer = String::new();
        poll.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("ready"), "{answer}");
    }
    ensure!(controller.wait()?.success(), "{}", controller.log());
    Ok(())
}

/// How many connections to a port have nothing left for the server to read (proc(5), /proc/net/tcp).
fn read_by_server(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let (local, nothing) = (format!(":{port:04X}"), ":00000000");
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|f| f.len() > 4 && f[1].ends_with(&local) && f[3] == "01" && f[4].ends_with(nothing))
        .count()
}
