//! The README's quick start, word for word: its text is what is run.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::cluster::Cluster;
use crik_tests::cluster::images::RECIPES;
use crik_tests::wait::wait_for;

use crate::{shell, turn};

/// The heading that the commands stand under.
const HEADING: &str = "## Try it on your cluster";

/// The commands, in the order in which they stand there.
fn commands() -> Result<Vec<String>> {
    let readme = fs::read_to_string(workspace().join("README.md"))?;
    let (_, section) = readme.split_once(HEADING).context("the README has no quick start")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    $ "));
    Ok(lines.map(str::to_owned).collect())
}

/// Removes the counter from the namespace that all share, also when a command in between fails.
struct Counter<'a>(&'a Cluster);

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        let delete = "kubectl delete -f deploy/examples/counter/counter.yaml --ignore-not-found --wait=false";
        if let Err(error) = shell(self.0, delete) {
            eprintln!("the counter is left behind: {error:#}");
        }
    }
}

/// The variables that the lines before have set, as each line has a shell of its own.
#[derive(Default)]
struct Session(String);

impl Session {
    /// Runs a line, with the variables of those before.
    fn run(&mut self, cluster: &Cluster, line: &str) -> Result<String> {
        let said = shell(cluster, &format!("{}{line}", self.0))?;
        if let Some((name, _)) = line.split_once("=$(") {
            let value = shell(cluster, &format!("{line}; echo ${name}"))?;
            ensure!(!value.trim().is_empty(), "{line} sets nothing");
            self.0 += &format!("{name}='{}'; ", value.trim());
        }
        Ok(said)
    }
}

/// What the counter has counted.
fn counts(log: &str) -> Vec<u64> {
    log.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Does what the quick start says, up to the installed controller.
///
/// # Errors
/// A command fails.
pub fn set_up(cluster: &Cluster) -> Result<()> {
    let commands = commands()?;
    let install =
        commands.iter().find(|line| line.starts_with("helm install ")).context("no helm install")?;
    shell(cluster, install).map(drop)
}

#[test]
fn every_image_that_it_builds_is_one_that_is_tested() -> Result<()> {
    let commands = commands()?;
    let builds: Vec<&String> = commands.iter().filter(|line| line.starts_with("docker build ")).collect();
    ensure!(builds.len() == 3, "{builds:?}");
    for line in builds {
        let known = |line: &str| {
            RECIPES
                .iter()
                .any(|recipe| line == format!("docker build -f {} -t {} .", recipe.file, recipe.name))
        };
        ensure!(known(line), "no recipe of the harness is {line}");
    }
    Ok(())
}

#[test]
fn a_counter_goes_on_at_another_node() -> Result<()> {
    let turn = turn()?;
    let (mut seen, mut session) = (Vec::new(), Session::default());
    let _counter = Counter(&turn.cluster);
    // What comes before is what every test here begins with.
    let commands = commands()?;
    let rest = commands.iter().skip_while(|line| !line.starts_with("helm install ")).skip(1);
    for line in rest {
        if line.starts_with("kubectl logs") {
            // Who reads it looks again if nothing is there yet.
            let wanted = if seen.is_empty() { "" } else { "restored generation 00000001" };
            let there = |said: &String| !counts(said).is_empty() && said.contains(wanted);
            let counted = || session.run(&turn.cluster, line).ok().filter(there);
            seen.push(wait_for("the counter's log", counted)?);
        } else {
            session.run(&turn.cluster, line)?;
        }
    }
    ensure!(seen.len() == 2, "two looks at the log were expected: {seen:?}");
    let (before, after) = (counts(&seen[0]), counts(&seen[1]));
    let (last, first) =
        (before.last().context("it did not count")?, after.first().context("it does not go on")?);
    ensure!(seen[1].contains("restored generation 00000001"), "{}", seen[1]);
    ensure!(first > last, "it counted to {last} before and begins with {first} after");
    for node in turn.cluster.nodes() {
        let spec = shell(&turn.cluster, &format!("kubectl get node {} -o jsonpath={{.spec}}", node.name()))?;
        ensure!(!spec.contains("unschedulable"), "{} is left cordoned: {spec}", node.name());
    }
    Ok(())
}

/// The addresses of the controller's pods, as the cluster has given them.
fn replicas(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let list = "kubectl get pods --namespace crik --selector app.kubernetes.io/name=crik-controller \
                --output jsonpath='{.items[*].status.podIP}'";
    Ok(shell(cluster, list)?.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn helm_test_tells_that_each_replica_is_ready() -> Result<()> {
    let turn = turn()?;
    let expected = replicas(&turn.cluster)?;
    ensure!(expected.len() == 2, "{expected:?}");
    // Twice, since the pod of the first is still there then.
    for _ in 0..2 {
        let said = shell(&turn.cluster, "helm test crik --namespace crik --logs")?;
        let phase = said.lines().find_map(|line| line.strip_prefix("Phase:"));
        ensure!(phase.is_some_and(|phase| phase.trim() == "Succeeded"), "{said}");
        let ready = said.lines().filter_map(|line| line.strip_suffix(":9376 is ready"));
        let ready: BTreeSet<String> = ready.map(str::to_owned).collect();
        ensure!(ready == expected, "{expected:?} are its replicas, and it says: {said}");
    }
    Ok(())
}

#[test]
fn helm_test_fails_and_tells_why_while_no_replica_is_there() -> Result<()> {
    let turn = turn()?;
    let scale = |number: usize| {
        let line = format!(
            "kubectl scale deployment/crik-controller --namespace crik --replicas {number} \
             && kubectl rollout status deployment/crik-controller --namespace crik --timeout 2m"
        );
        shell(&turn.cluster, &line)
    };
    scale(0)?;
    let refused = shell(&turn.cluster, "helm test crik --namespace crik");
    let log = shell(&turn.cluster, "kubectl logs --namespace crik crik-controller-test");
    scale(2)?;
    let (why, log) = (format!("{:#}", refused.err().context("it succeeds")?), log?);
    ensure!(why.contains("crik-controller-test failed"), "{why}");
    let named = ["cannot be looked up", "has no address"].map(|why| format!("crik-controller.crik {why}"));
    ensure!(named.iter().any(|why| log.contains(why)), "{log}");
    Ok(())
}
