//! `kubectl crik move`: check → stop → delete → wait until the next pod goes on.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;

use super::args::Move;
use super::client::Client;
use super::in_pod::InPod;
use super::movable::{self, NotMovable};
use super::pod::Pod;
use super::progress::Progress;
use super::stop;
use super::successor::Siblings;
use crate::base::output::print;

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    namespace: String,
    pod: String,
    from: Option<String>,
    successor: String,
    to: Option<String>,
    generation: u64,
    /// From the question for the checkpoint until the next pod was seen to go on.
    seconds: f64,
}

/// Moves a pod. Until the checkpoint is durable nothing is changed; from then on the program stands still, and goes on by itself if the pod
/// is not deleted.
///
/// # Errors
/// It cannot be moved, or the next one does not go on in time.
pub fn move_pod(client: &Client, args: &Move) -> Result<()> {
    let pod = Pod::get(client, &args.pod)?;
    let container = args.pod.container.as_deref();
    let crik = InPod::of(client, &pod, container)?;
    let progress = Progress::new();
    progress.waits("whether it can be moved");
    movable::check(client, &pod, &crik, &progress)?;
    let owner = pod.owner().ok_or_else(|| NotMovable::NoOwner(pod.name().to_owned()))?;
    client.may(&pod.to_delete()).context("nothing is changed")?;
    let next = Siblings::after(client, &pod, owner, container)?;
    let began = Instant::now();
    progress.waits("the checkpoint");
    let committed = stop::stop(&crik)?;
    let until = committed.to_be_deleted_until();
    progress.done("checkpoint", &format!("{} on {}", committed.told(), pod.node().unwrap_or("its node")));
    delete(client, &pod, until)?;
    progress.done("delete", pod.name());
    let (successor, generation) = next.resumed(committed.generation, &progress, args.timeout)?;
    drop(progress);
    print(args.output, &moved(&pod, &successor, generation, began), told)
}

/// Deletes the pod, unless its program may go on before it is told to end: what that does then would be lost.
fn delete(client: &Client, pod: &Pod, until: Instant) -> Result<()> {
    let too_late = || {
        anyhow!(
            "the answer of the checkpoint came too late to delete the pod; its program goes on, and nothing is changed"
        )
    };
    let hurried = client.until(until).ok_or_else(too_late)?;
    pod.delete(&hurried)
        .context("the pod is not deleted; its program stands still, and goes on in a minute at the latest")
}

fn moved(pod: &Pod, successor: &Pod, generation: u64, began: Instant) -> Moved {
    Moved {
        namespace: pod.namespace().to_owned(),
        pod: pod.name().to_owned(),
        from: pod.node().map(str::to_owned),
        successor: successor.name().to_owned(),
        to: successor.node().map(str::to_owned),
        generation,
        seconds: began.elapsed().as_secs_f64(),
    }
}

fn told(moved: &Moved) -> String {
    let node = |name: &Option<String>| name.clone().unwrap_or_else(|| "its node".to_owned());
    let Moved { pod, successor, generation, seconds, .. } = moved;
    let (from, to) = (node(&moved.from), node(&moved.to));
    let now = if pod == successor { String::new() } else { format!(" as {successor}") };
    let goes_on = format!("goes on from generation {generation}, {seconds:.1} s after it was asked to stop");
    if from == to {
        return format!(
            "{pod} has come back to {from}{now}, and {goes_on}; to keep it away from there: kubectl cordon {from}\n"
        );
    }
    format!("{pod} has moved from {from} to {to}{now}, and {goes_on}\n")
}

#[cfg(test)]
mod tests {
    use super::super::pod::fixture;
    use super::*;
    use crate::base::limits;

    #[test]
    fn a_pod_whose_program_may_go_on_before_is_not_deleted() {
        let client = Client::of("/nowhere/kubectl");
        let pod = Pod::from(fixture::pod(&[]));
        let why = delete(&client, &pod, Instant::now()).unwrap_err().to_string();
        assert!(why.ends_with("nothing is changed"), "{why}");
        let why = delete(&client, &pod, Instant::now() + limits::UNTIL_IT_ENDS).unwrap_err();
        assert!(format!("{why:#}").contains("cannot run /nowhere/kubectl"), "{why:#}");
    }

    fn moved(successor: &str, to: &str) -> String {
        told(&Moved {
            namespace: "jobs".to_owned(),
            pod: "job-0".to_owned(),
            from: Some("node-a".to_owned()),
            successor: successor.to_owned(),
            to: Some(to.to_owned()),
            generation: 7,
            seconds: 4.21,
        })
    }

    #[test]
    fn it_says_from_where_to_where_and_how_long_it_took() {
        let expected = "job-0 has moved from node-a to node-b, and goes on from generation 7, 4.2 s after it was asked to stop\n";
        assert_eq!(moved("job-0", "node-b"), expected);
        assert!(moved("job-x1", "node-b").contains("to node-b as job-x1, and goes on"));
    }

    #[test]
    fn a_pod_that_comes_back_is_said_so_with_the_remedy() {
        assert!(moved("job-0", "node-a").ends_with("kubectl cordon node-a\n"));
    }
}
