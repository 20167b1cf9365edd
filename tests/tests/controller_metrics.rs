//! What the controller tells Prometheus.

use std::fs;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use crik_api::NodeState;
use crik_tests::build::workspace;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{get, get_with};
use crik_tests::wait::wait_for;

fn close(controller: &Controller, name: &str, expected: f64) -> Result<()> {
    let value = controller.metric(name)?;
    ensure!((value - expected).abs() < 0.5, "{name} is {value}, not {expected}");
    Ok(())
}

#[test]
fn nodes_are_counted_by_state_and_signal() -> Result<()> {
    let controller = Controller::start(&[
        TestNode::ready("a"),
        TestNode::ready("b"),
        TestNode::ready("c").cordoned(),
        TestNode::ready("d").shutting_down(),
    ])?;
    close(&controller, "crik_nodes{state=\"ready\"}", 2.0)?;
    close(&controller, "crik_nodes{state=\"cordoned\"}", 1.0)?;
    close(&controller, "crik_nodes{state=\"shutting-down\"}", 1.0)?;
    close(&controller, "crik_nodes{state=\"gone\"}", 0.0)?;
    close(&controller, "crik_signals{signal=\"kubelet-shutdown\"}", 1.0)?;
    close(&controller, "crik_signals_appeared_total{signal=\"kubelet-shutdown\"}", 1.0)?;
    controller.set_nodes(&[TestNode::ready("a"), TestNode::ready("b"), TestNode::ready("c")])?;
    controller.metric_becomes("crik_nodes{state=\"gone\"}", 1.0)?;
    close(&controller, "crik_nodes{state=\"ready\"}", 3.0)
}

#[test]
fn a_source_that_is_lost_shows() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    close(&controller, "crik_source_lost", 0.0)?;
    ensure!(controller.metric("crik_source_age_seconds")? < 60.0);
    controller.set_text("kind: Pod")?;
    controller.metric_becomes("crik_source_lost", 1.0)
}

#[test]
fn requests_are_counted_by_route_and_code_and_nobody_can_make_up_a_label() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    for name in ["a", "b", "c"] {
        controller.status(name)?;
    }
    get(&controller.url("/v1/nodes/A"))?;
    for path in ["/made-up", "/v3/other"] {
        get(&controller.url(path))?;
    }
    close(&controller, "crik_requests_total{route=\"/v1/nodes/{name}\",code=\"200\"}", 3.0)?;
    close(&controller, "crik_requests_total{route=\"/v1/nodes/{name}\",code=\"400\"}", 1.0)?;
    close(&controller, "crik_requests_total{route=\"none\",code=\"404\"}", 2.0)?;
    close(&controller, "crik_request_duration_seconds_count{route=\"/v1/nodes/{name}\"}", 4.0)?;
    ensure!(!get(&controller.url("/metrics"))?.body.contains("made-up"));
    Ok(())
}

#[test]
fn a_poll_that_waited_is_measured_from_the_change() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let url = controller.url("/v1/nodes/a?wait=60s");
    let poll = thread::spawn(move || get(&url));
    controller.metric_becomes("crik_waiting_polls", 1.0)?;
    // The time of its waiting must not count, however long it is.
    thread::sleep(std::time::Duration::from_millis(300));
    controller.set_nodes(&[TestNode::ready("a").cordoned()])?;
    let answer = poll.join().map_err(|_| anyhow::anyhow!("the poll panicked"))??;
    ensure!(answer.json()["state"] == "cordoned", "{}", answer.body);
    close(&controller, "crik_poll_answer_seconds_count", 1.0)?;
    let seconds = controller.metric("crik_poll_answer_seconds_sum")?;
    println!("change to answer: {:.0} µs", seconds * 1e6);
    ensure!(seconds < 0.2, "{seconds} s");
    ensure!(controller.metric("crik_request_duration_seconds_count{route=\"/v1/nodes/{name}\"}").is_err());
    controller.becomes("a", NodeState::Cordoned)
}

#[test]
fn every_metric_and_every_route_is_in_the_documents() -> Result<()> {
    let document = fs::read_to_string(workspace().join("docs/controller.md"))?;
    let controller = Controller::start(&[TestNode::ready("a").shutting_down()])?;
    let text = get(&controller.url("/metrics"))?.body;
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    ensure!(names.len() > 10, "{names:?}");
    for name in names {
        let name = name.trim_end_matches("_max");
        ensure!(document.contains(&format!("`{name}")), "docs/controller.md lacks {name}");
    }
    let lost = get(&controller.url("/none"))?.json();
    let routes = lost["error"]
        .as_str()
        .and_then(|text| text.split_once("there are "))
        .map_or("", |(_, routes)| routes);
    ensure!(routes.split(", ").count() > 5, "{lost}");
    for route in routes.split(", ") {
        let is_told = |method: &str| document.contains(&format!("`{method} {route}"));
        ensure!(["GET", "POST"].into_iter().any(is_told), "docs/controller.md lacks {route}");
    }
    Ok(())
}

/// The dashboards and alerts that everybody has for every program go by these names.
#[test]
fn what_the_process_uses_is_told_by_the_names_that_all_programs_give_it() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let value = |name: &str| controller.metric(name);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let age = now - value("process_start_time_seconds")?;
    ensure!((0.0..60.0).contains(&age), "it began {age} s ago");
    let (resident, address_space) =
        (value("process_resident_memory_bytes")?, value("process_virtual_memory_bytes")?);
    ensure!(resident > 1e6 && address_space > resident, "{resident} of {address_space}");
    let kept: Vec<_> = (0..20)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", controller.port())))
        .collect::<Result<_, _>>()?;
    controller.metric_becomes("crik_connections", kept.len() as f64 + 1.0)?;
    let descriptors = format!("/proc/{}/fd", controller.pid());
    let open = wait_for("as many descriptors as the kernel knows", || {
        let (open, known) = (value("process_open_fds").ok()?, fs::read_dir(&descriptors).ok()?.count());
        // Who asks has one of them.
        ((known as f64..=known as f64 + 1.0).contains(&open)).then_some(open)
    })?;
    ensure!((kept.len() as f64..value("process_max_fds")?).contains(&open), "{open}");
    let before = value("process_cpu_seconds_total")?;
    wait_for("its work to be seen", || (value("process_cpu_seconds_total").ok()? > before).then_some(()))
}

#[test]
fn each_list_and_each_failure_of_the_source_is_counted() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let lists = controller.metric("crik_source_lists_total")?;
    ensure!(lists >= 1.0);
    close(&controller, "crik_source_failures_total", 0.0)?;
    controller.set_text("kind: Pod")?;
    controller.metric_becomes("crik_source_lost", 1.0)?;
    ensure!(controller.metric("crik_source_failures_total")? >= 1.0);
    controller.set_nodes(&[TestNode::ready("a")])?;
    controller.metric_becomes("crik_source_lost", 0.0)?;
    ensure!(controller.metric("crik_source_lists_total")? > lists);
    Ok(())
}

#[test]
fn who_takes_only_the_older_text_gets_it() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let url = controller.url("/metrics");
    let old = get_with(&url, &[("Accept", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")])?;
    ensure!(old.header("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    ensure!(
        !old.body.contains("# EOF") && old.body.contains("# TYPE crik_source_lists_total counter\n"),
        "{}",
        old.body
    );
    let both = get_with(&url, &[("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")])?;
    ensure!(both.header("content-type").starts_with("application/openmetrics-text"));
    Ok(())
}

#[test]
fn the_text_is_what_prometheus_reads() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let answer = get(&controller.url("/metrics"))?;
    ensure!(answer.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    ensure!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    let version = env!("CARGO_PKG_VERSION");
    close(&controller, &format!("crik_build_info{{version=\"{version}\"}}"), 1.0)?;
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
        ensure!(matches!(value, Some(Ok(_))), "{line}");
    }
    Ok(())
}
