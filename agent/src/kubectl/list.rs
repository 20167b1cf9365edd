//! `kubectl crik list`: the pods under crik, and what stands on them.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use crik_api::report::{LastCheckpoint, LastStart, Move};
use serde::Serialize;

use super::args::List;
use super::client::Client;
use super::pod::{NOT_BEHIND_CRIK, Pod};
use crate::base::output::print;
use crate::base::table::table;
use crate::base::units;

/// What is told of a pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its phase, or that it is being ended.
    pub status: String,
    /// Its node.
    pub node: Option<String>,
    /// Whether its program could go on elsewhere, as far as that is known.
    pub protected: Option<bool>,
    /// Why not, or why that is not known.
    pub why: Option<String>,
    /// Its newest checkpoint.
    pub last_checkpoint: Option<LastCheckpoint>,
    /// How its program has started.
    pub last_start: Option<LastStart>,
    /// The move that an eviction has asked for.
    #[serde(rename = "move")]
    pub moved: Option<Move>,
}

impl Told {
    /// What the pod's object tells.
    pub fn of(pod: &Pod) -> Self {
        let protection = pod.protection();
        let protected =
            protection.as_ref().map(|told| told.protected).or((!pod.runs_crik()).then_some(false));
        Self {
            namespace: pod.namespace().to_owned(),
            pod: pod.name().to_owned(),
            status: pod.status().to_owned(),
            node: pod.node().map(str::to_owned),
            protected,
            why: protection.map_or_else(|| unknown(pod), |told| told.why),
            last_checkpoint: pod.last_checkpoint(),
            last_start: pod.last_start(),
            moved: pod.moved(),
        }
    }

    /// Whether it is protected, in a word.
    pub fn word(&self) -> &'static str {
        match self.protected {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "not told",
        }
    }

    /// The number of its newest checkpoint, its age and its size.
    pub fn checkpoint(&self) -> [String; 3] {
        let Some(LastCheckpoint { at, checkpoint }) = &self.last_checkpoint else {
            return ["-", "-", "-"].map(str::to_owned);
        };
        [checkpoint.generation.to_string(), ago(at), units::bytes(checkpoint.bytes)]
    }

    /// What stands in its way, for a person.
    pub fn complaint(&self) -> Option<String> {
        let why = self.why.as_ref()?;
        let what = if self.protected == Some(false) { "is NOT PROTECTED" } else { "may be protected or not" };
        Some(format!("{}/{} {what}: {why}\n", self.namespace, self.pod))
    }
}

/// What can be said of a pod of which no agent has told anything.
fn unknown(pod: &Pod) -> Option<String> {
    let why = if !pod.runs_crik() {
        NOT_BEHIND_CRIK
    } else if pod.runs() {
        "its agent has told the controller nothing; kubectl crik doctor asks it"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// How long ago a moment is that is written as RFC 3339 has it.
pub fn age(at: &str) -> Option<Duration> {
    let at = humantime::parse_rfc3339(at).ok()?;
    Some(SystemTime::now().duration_since(at).unwrap_or_default())
}

fn ago(at: &str) -> String {
    age(at).map_or_else(|| at.to_owned(), |age| units::roughly(Duration::from_secs(age.as_secs())))
}

/// Prints them.
///
/// # Errors
/// The API server does not answer.
pub fn list(client: &Client, args: &List) -> Result<()> {
    let pods: Vec<Told> = Pod::all(client, &args.chosen)?.iter().map(Told::of).collect();
    print(args.output, &pods, |pods| told(pods, args.chosen.all_namespaces))
}

fn told(pods: &[Told], with_namespaces: bool) -> String {
    if pods.is_empty() {
        return "no pod here is under crik\n".to_owned();
    }
    let all =
        ["NAMESPACE", "POD", "STATUS", "NODE", "PROTECTED", "CHECKPOINT>", "AGE>", "SIZE>", "START", "MOVE"];
    let first = usize::from(!with_namespaces);
    let rows = pods.iter().map(|pod| cells(pod).split_off(first));
    let complaints: String = pods.iter().filter_map(Told::complaint).collect();
    let gap = if complaints.is_empty() { "" } else { "\n" };
    table(&all[first..], rows) + gap + &complaints
}

fn cells(pod: &Told) -> Vec<String> {
    let node = pod.node.clone().unwrap_or_else(|| "-".to_owned());
    let [generation, age, size] = pod.checkpoint();
    vec![
        pod.namespace.clone(),
        pod.pod.clone(),
        pod.status.clone(),
        node,
        pod.word().to_owned(),
        generation,
        age,
        size,
        pod.last_start.as_ref().map_or_else(|| "-".to_owned(), start),
        pod.moved.as_ref().map_or_else(|| "-".to_owned(), step),
    ]
}

fn start(start: &LastStart) -> String {
    match &start.resumed {
        Some(resumed) => format!("from {}, {} ago", resumed.generation, ago(&start.at)),
        None => format!("fresh, {} ago", ago(&start.at)),
    }
}

/// The word on the wire, which docs have too.
fn step(moved: &Move) -> String {
    let word = serde_json::to_value(moved.step).ok();
    let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or_default();
    format!("{word}, {} ago", ago(&moved.at))
}

#[cfg(test)]
mod tests {
    use crik_api::report::{LAST_CHECKPOINT, LAST_START, MOVE, PROTECTION};
    use serde_json::{Value, json};

    use super::super::pod::fixture;
    use super::*;

    fn shown(annotations: &[(&str, Value)]) -> String {
        told(&[Told::of(&Pod::from(fixture::pod(annotations)))], true)
    }

    /// Half a minute more than the two units that are told, so that no test depends on when its second ends.
    fn before(seconds: u64) -> Value {
        json!(units::rfc3339(units::now() - seconds))
    }

    #[test]
    fn what_stands_on_a_pod_is_one_row() {
        let checkpoint = json!({
            "at": before(93_630), "generation": 7, "occasion": "interval", "frozenSeconds": 0.1, "durableSeconds": 1.0,
            "bytes": 1_200_000_000, "storedBytes": 1, "newBytes": 1,
        });
        let start = json!({"at": before(7_830), "resumed": {"generation": 6, "seconds": 1.0}});
        let moved = json!({"asked": "t", "step": "durable", "at": before(3_690)});
        let text = shown(&[
            (PROTECTION, json!({"protected": true})),
            (LAST_CHECKPOINT, checkpoint),
            (LAST_START, start),
            (MOVE, moved),
        ]);
        assert_eq!(
            text,
            "NAMESPACE  POD    STATUS   NODE    PROTECTED  CHECKPOINT      AGE    SIZE  START               MOVE\n\
             jobs       job-0  Running  node-a  yes                 7  1day 2h  1.2 GB  from 6, 2h 10m ago  durable, 1h 1m ago\n"
        );
    }

    #[test]
    fn what_stands_in_the_way_is_told_whole() {
        let why = "process 312 (app) has a ring of io_uring, which CRIU cannot dump";
        let text = shown(&[
            (PROTECTION, json!({"protected": false, "why": why})),
            (LAST_START, json!({"at": before(7_830), "whyFresh": "altered"})),
        ]);
        assert!(text.contains("NO") && text.contains("fresh, 2h 10m ago"), "{text}");
        assert!(text.ends_with(&format!("\n\njobs/job-0 is NOT PROTECTED: {why}\n")), "{text}");
    }

    #[test]
    fn of_an_agent_that_has_told_nothing_it_is_said_who_knows() {
        let text = shown(&[]);
        assert!(text.contains("not told") && text.contains("kubectl crik doctor asks it"), "{text}");
    }

    #[test]
    fn a_labelled_pod_that_was_not_put_under_crik_is_not_protected() {
        let mut pod = fixture::pod(&[]);
        pod["spec"]["containers"][0]["command"] = json!(["job"]);
        let told = Told::of(&Pod::from(pod));
        assert_eq!((told.protected, told.word()), (Some(false), "NO"));
        assert!(told.complaint().unwrap().contains("not behind crik"));
    }
}
