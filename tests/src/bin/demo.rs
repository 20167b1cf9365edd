//! `make demo`: a job that survives the loss of its node, twice, and then an ordinary stop.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;
use crik_tests::node::{Boots, Node};
use crik_tests::pod::{Pod, Running};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;
use serde_json::Value;

/// How many steps the job makes on each node.
const STEPS: usize = 150;

fn main() -> Result<()> {
    let mut demo = Demo::new()?;
    let node_a = Node::nth("node-a", 0, Boots::YoungerFirst)?;
    demo.say("node-a", "the job starts; its whole state is random numbers in memory");
    let first = demo.run_until_preempted(&node_a)?;
    let node_b = node_a.younger()?;
    demo.say("node-b", &format!("was booted {}: its clocks are behind", node_b.booted_beside(&node_a)));
    demo.say("node-b", "the same pod starts there, from the shared volume");
    let second = demo.run_until_preempted(&node_b)?;
    let new_node_a = node_b.older()?.named("node-a");
    demo.say("node-a", &format!("is another machine now, booted {}", new_node_a.booted_beside(&node_b)));
    demo.say("node-a", "and once more, ahead in time");
    let third = demo.run_until_stopped(&new_node_a)?;
    let steps = chain::verify(&[first, second, third])?;
    demo.say("node-b", "someone stopped it on purpose, so the next start is fresh");
    demo.starts_fresh(&node_b)?;
    println!(
        "\n  {steps} steps over three containers on three machines, each with a hash over all before it:"
    );
    println!("  none lost, none repeated. It took {:.0} s.", demo.began.elapsed().as_secs_f64());
    Ok(())
}

/// A controller, a volume, and the time since it began.
struct Demo {
    began: Instant,
    controller: Controller,
    volume: Volume,
}

impl Demo {
    fn new() -> Result<Self> {
        println!("preparing: builds crik, and a root file system for the pods if there is none yet …\n");
        crik_tests::rootfs::Root::Small.path()?;
        crik_tests::build::cargo_bin("crik-agent", "crik", &[])?;
        let controller = Controller::start(&both_ready())?;
        let demo = Self { began: Instant::now(), controller, volume: Volume::new()? };
        demo.say("", "the controller watches node-a and node-b");
        Ok(demo)
    }

    fn say(&self, place: &str, what: &str) {
        println!("  {:>6.2} s  {place:<7} {what}", self.began.elapsed().as_secs_f64());
    }

    fn start(&self, node: &Node) -> Result<(Running, Network)> {
        let network = Network::new()?;
        let running = Pod::new(&self.volume, &node.name, &["python3", "/programs/single.py"])
            .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), self.controller.port()))
            .network(&network)
            .with(|spec| {
                spec.command(
                    &["crik", "run", "--log-format", "json", "--"],
                    &["python3", "/programs/single.py"],
                )
            })
            .replacement_on(node.clone())
            .start()?;
        Ok((running, network))
    }

    /// Starts the pod, lets it work, and tells what it says.
    fn work(&self, node: &Node) -> Result<(Running, Network)> {
        let (running, network) = self.start(node)?;
        let node = &node.name;
        running.wait_for_lines(STEPS)?;
        if let Some(restored) = story(&running, "restore") {
            let ms = milliseconds(&restored);
            self.say(
                node,
                &format!("restore  {} from generation {} in {ms}", size(&restored), restored["generation"]),
            );
        }
        self.say(node, &format!("the job works: {}", steps(&running)));
        Ok((running, network))
    }

    /// The node goes away: the controller sees it, the pod gets a SIGTERM.
    fn run_until_preempted(&mut self, node: &Node) -> Result<String> {
        let (mut running, _network) = self.work(node)?;
        let node = &node.name;
        self.controller.set_nodes(
            &both_ready().map(|other| if other.is(node) { other.shutting_down() } else { other }),
        )?;
        self.say(node, "▼ the node is being preempted, and the pod gets a SIGTERM");
        let signalled = Instant::now();
        let code = running.stop()?;
        let took = signalled.elapsed();
        ensure!(code == 143, "the agent exited with {code}\n{}", running.transcript());
        for step in ["decide", "freeze", "commit"] {
            let line =
                story(&running, step).with_context(|| format!("no {step}\n{}", running.transcript()))?;
            self.say(node, &describe(step, &line));
        }
        self.say(node, &format!("exit     {code}, {:.0} ms after the SIGTERM", took.as_secs_f64() * 1000.0));
        // The machine comes back as another one.
        self.controller
            .set_nodes(&both_ready().map(|other| if other.is(node) { other.recreated() } else { other }))?;
        Ok(running.stdout.text())
    }

    /// An ordinary stop, as of a job that is not wanted any more.
    fn run_until_stopped(&self, node: &Node) -> Result<String> {
        let (mut running, _network) = self.work(node)?;
        let node = &node.name;
        self.say(node, "■ kubectl delete pod: a SIGTERM, and the node is well");
        let before = self.volume.generations("job-0").len();
        let code = running.stop()?;
        let decision = story(&running, "decide").context("no decision")?;
        self.say(node, &describe("decide", &decision));
        ensure!(code == 0 && running.stdout.text().ends_with("goodbye\n"), "{}", running.transcript());
        ensure!(self.volume.generations("job-0").len() == before, "a checkpoint was taken");
        self.say(node, "no checkpoint; the job shut down in order, exit 0");
        Ok(running.stdout.text())
    }

    fn starts_fresh(&self, node: &Node) -> Result<()> {
        let (running, _network) = self.start(node)?;
        let node = &node.name;
        running.wait_for_lines(STEPS / 10)?;
        ensure!(story(&running, "restore").is_none(), "an ended job was resumed\n{}", running.transcript());
        let steps = chain::verify(&[running.stdout.text()])?;
        self.say(node, &format!("fresh start: a new chain, at step {steps}"));
        running.signal(Signal::SIGKILL)
    }
}

fn both_ready() -> [TestNode; 2] {
    [TestNode::ready("node-a"), TestNode::ready("node-b")]
}

/// The agent's log line of a step that is done: those before it have no duration.
fn story(running: &Running, step: &str) -> Option<Value> {
    let log = running.stderr.text();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["step"] == step && line["ms"].is_u64())
}

fn describe(step: &str, line: &Value) -> String {
    let ms = milliseconds(line);
    match step {
        "decide" => {
            format!("decide   {} in {ms}: {}", line["decision"].as_str().unwrap_or_default(), message(line))
        }
        "freeze" => format!("freeze   {} processes, {} of memory, in {ms}", line["processes"], size(line)),
        _ => format!("commit   generation {}, {} durable in {ms}", line["generation"], size(line)),
    }
}

fn message(line: &Value) -> &str {
    let message = line["message"].as_str().unwrap_or_default();
    message.split_once(": ").map_or(message, |(_, why)| why)
}

fn milliseconds(line: &Value) -> String {
    let ms = Duration::from_millis(line["ms"].as_u64().unwrap_or_default());
    if ms < Duration::from_secs(1) {
        format!("{} ms", ms.as_millis())
    } else {
        format!("{:.1} s", ms.as_secs_f64())
    }
}

fn size(line: &Value) -> String {
    let bytes = line["bytes"].as_f64().unwrap_or_default();
    format!("{:.1} MB", bytes / 1e6)
}

/// The first and the last step, with the last one's hash.
fn steps(running: &Running) -> String {
    let text = running.stdout.text();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("step "));
    let first = lines.clone().next().and_then(|line| line.split(' ').next()).unwrap_or_default();
    let last = lines.next_back().unwrap_or_default();
    let mut words = last.split(' ');
    let number = words.next().unwrap_or_default();
    let hash: String = words.nth(1).unwrap_or_default().chars().take(12).collect();
    format!("steps {first} to {number}, running hash {hash}…")
}
