//! A SIGTERM on a node that is well: what it means depends on who ends the pod, which a real API server knows.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::control_plane::{Account, ControlPlane, PatchKind, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::crik::crik_of;
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::shared::Shared;
use crik_tests::story::{CHECKPOINTED, SINGLE, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const STOPPED: i32 = 7;
const PODS: &str = "/api/v1/namespaces/default/pods";
const APP: Account<'_> = Account { namespace: "default", name: "app" };

static CLUSTER: Shared<Cluster> = Shared::new();

/// A control plane with the node of all pods, and a controller with the rights that its manifest gives.
struct Cluster {
    controller: Controller,
    kubeconfig: PathBuf,
    plane: ControlPlane,
}

impl Cluster {
    fn shared() -> Result<Arc<Self>> {
        CLUSTER.get(Self::new)
    }

    fn new() -> Result<Self> {
        let (controller, kubeconfig, plane) = Controller::of_pods_on("node-a")?;
        Ok(Self { controller, kubeconfig, plane })
    }

    /// Writes the condition as a kubelet does.
    fn disrupt(&self, pod: &str, reason: &str) -> Result<()> {
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason});
        let status = json!({"status": {"conditions": [condition]}});
        self.plane.api().patch(&format!("{PODS}/{pod}/status"), PatchKind::Strategic, &status).map(drop)
    }

    fn evict(&self, pod: &str) -> Result<()> {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        self.plane.api().create(&format!("{PODS}/{pod}/eviction"), &eviction).map(drop)
    }

    fn delete(&self, pod: &str, grace: u32) -> Result<()> {
        let grace = format!("--grace-period={grace}");
        let force: &[&str] = if grace.ends_with("=0") { &["--force"] } else { &[] };
        self.plane.kubectl(&[&["delete", "pod", pod, &grace, "--wait=false"], force].concat()).map(drop)
    }
}

/// A workload whose pod the API server knows, with one checkpoint that its program has gone on from.
struct Workload {
    cluster: Arc<Cluster>,
    volume: Volume,
    /// Its pod's, and its image directory's.
    name: String,
    /// Of which each start is another pod.
    pod: Pod,
    running: Running,
}

impl Workload {
    fn new(name: &str, more: &str) -> Result<Self> {
        Self::on(&Cluster::shared()?, name, more, |pod| pod)
    }

    /// Starts one that asks the cluster's controller, with more lines of configuration and other changes.
    fn on(cluster: &Arc<Cluster>, name: &str, more: &str, change: impl Fn(Pod) -> Pod) -> Result<Self> {
        Self::of(cluster, name, &json!({"name": "app", "image": "app"}), more, change)
    }

    /// The same, of a pod with this container.
    fn of(
        cluster: &Arc<Cluster>,
        name: &str,
        container: &Value,
        more: &str,
        change: impl Fn(Pod) -> Pod,
    ) -> Result<Self> {
        let uid = create_with(&cluster.plane, name, container)?;
        let (volume, network) = (Volume::new()?, Network::new()?);
        let url = format!("nodeStateServerURL: http://{}:{}", network.host(), cluster.controller.port());
        let pod = Pod::new(&volume, "node-a", &SINGLE)
            .config(&format!("interval: 1s\nclaimExpiry: 1h\n{more}"))
            .network(&network)
            .same_node_name()
            .with(|spec| {
                spec.env("GOODBYE", &STOPPED.to_string());
                spec.env("POD_NAMESPACE", "default");
                spec.env("POD_NAME", name);
            });
        // The controller's address may be another one's.
        let pod = if more.contains("nodeStateServerURL") { pod } else { pod.config(&url) };
        let pod = change(pod);
        let running = started(&pod.known_as(&uid))?;
        running.stderr.wait_for("generation 00000001 is durable").with_context(|| running.transcript())?;
        Ok(Self { cluster: Arc::clone(cluster), volume, name: name.to_owned(), pod, running })
    }

    fn ends_with(&mut self, expected: i32, because: &str) -> Result<()> {
        let code = self.running.wait()?;
        ensure!(code == expected, "exit code {code}, not {expected}\n{}", self.running.transcript());
        self.running.stderr.wait_for(because).with_context(|| self.running.transcript())
    }

    /// What the volume says of a stop without a checkpoint.
    fn last_stop(&self) -> Result<Option<String>> {
        let list = crik_of(&self.volume, &self.name, &["list"])?.out;
        Ok(list.lines().find(|line| line.starts_with("the last stop, of ")).map(ToOwned::to_owned))
    }

    /// Why the stop left no checkpoint is said where the pod ended and on the volume.
    fn tells_why(&self, why: &str) -> Result<()> {
        let told = self.running.termination_message()?;
        ensure!(told.starts_with("crik: no checkpoint: ") && told.contains(why), "{told:?}");
        let kept = self.last_stop()?.with_context(|| {
            format!(
                "nothing is kept
{}",
                self.running.transcript()
            )
        })?;
        let (pod, said) = (self.running.place(), format!("left no checkpoint: {why}"));
        ensure!(kept.contains(&pod) && kept.contains(&said), "not {said:?} of {pod}: {kept}");
        Ok(())
    }

    /// The next pod, which says what the volume does.
    fn next(&self) -> Result<Running> {
        let (last_stop, next) = (self.last_stop()?, started(&self.pod)?);
        last_stop.map_or(Ok(()), |told| next.stderr.wait_for(&told)).with_context(|| next.transcript())?;
        Ok(next)
    }

    /// The next pod goes on from a checkpoint.
    fn is_resumed(&self) -> Result<()> {
        let next = self.next()?;
        next.stderr.wait_for("restored generation").with_context(|| next.transcript())?;
        chain::verify_repeated(&self.running.stdout.text(), &next.stdout.text()).map(drop)
    }

    fn is_closed(&self) -> Result<()> {
        let next = self.next()?;
        next.stderr.wait_for("are not resumed")?;
        starts_fresh(&next)
    }
}

/// Creates a pod on the node; returns its uid.
fn create(plane: &ControlPlane, name: &str) -> Result<String> {
    create_with(plane, name, &json!({"name": "app", "image": "app"}))
}

fn create_with(plane: &ControlPlane, name: &str, container: &Value) -> Result<String> {
    let spec = json!({"serviceAccountName": "app", "nodeName": "node-a", "containers": [container]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    let created = plane.api().create(PODS, &pod)?;
    Ok(created["metadata"]["uid"].as_str().context("no uid")?.to_owned())
}

#[test]
fn a_pod_that_is_evicted_is_checkpointed_and_goes_on() -> Result<()> {
    let mut workload = Workload::new("evicted", "")?;
    workload.cluster.evict("evicted")?;
    workload.running.signal(Signal::SIGTERM)?;
    workload.ends_with(CHECKPOINTED, "a checkpoint is taken: the pod is disrupted (api-eviction)")?;
    workload.is_resumed()
}

#[test]
fn a_pod_that_its_owner_deletes_stops_and_its_past_is_closed() -> Result<()> {
    let mut workload = Workload::new("deleted", "")?;
    workload.cluster.delete("deleted", 30)?;
    workload.running.signal(Signal::SIGTERM)?;
    workload.ends_with(STOPPED, "node node-a is ready; the pod is deleted (deletion)")?;
    workload.tells_why("node node-a is ready; the pod is deleted (deletion)")?;
    workload.is_closed()
}

#[test]
fn a_container_that_is_stopped_while_its_pod_stays_goes_on_from_its_last_checkpoint() -> Result<()> {
    for (name, goodbye) in [("probed", STOPPED), ("probed-and-orderly", 0)] {
        let orderly = |pod: Pod| pod.with(|spec| spec.env("GOODBYE", &goodbye.to_string()));
        let mut workload = Workload::on(&Cluster::shared()?, name, "", orderly)?;
        workload.running.signal(Signal::SIGTERM)?;
        workload.ends_with(goodbye, "nobody ends the pod, but this container is stopped")?;
        ensure!(workload.running.stdout.text().ends_with("goodbye\n"), "it got no SIGTERM");
        workload.tells_why("node node-a is ready; nobody ends the pod, but this container is stopped")?;
        workload.is_resumed()?;
    }
    Ok(())
}

#[test]
fn what_a_kubelet_writes_down_after_the_sigterm_still_means_a_checkpoint() -> Result<()> {
    let mut workload = Workload::new("pressed", "decisionTimeout: 10s")?;
    workload.running.signal(Signal::SIGTERM)?;
    // The kubelet's patch lands this much later; the time is the case, not a wait for something.
    thread::sleep(Duration::from_millis(300));
    workload.cluster.disrupt("pressed", "TerminationByKubelet")?;
    workload.ends_with(CHECKPOINTED, "the pod is disrupted (kubelet-termination)")?;
    workload.is_resumed()
}

#[test]
fn without_disrupted_in_the_list_an_eviction_stops_the_program_and_closes_nothing() -> Result<()> {
    let mut workload = Workload::new("listed", "checkpointOn: [draining, shutting-down]")?;
    workload.cluster.evict("listed")?;
    workload.running.signal(Signal::SIGTERM)?;
    workload
        .ends_with(STOPPED, "the pod is disrupted (api-eviction), so its checkpoints can still be resumed")?;
    workload.is_resumed()
}

#[test]
fn a_controller_that_may_not_read_pods_changes_nothing() -> Result<()> {
    let cluster = Arc::new(Cluster::new()?);
    cluster.plane.forbid_pods()?;
    let mut workload = Workload::on(&cluster, "unread", "", |pod| pod)?;
    cluster.evict("unread")?;
    workload.running.signal(Signal::SIGTERM)?;
    workload.ends_with(STOPPED, "node node-a is ready; the controller does not say why: ")?;
    workload.running.stderr.wait_for("the verb get on pods")?;
    workload.is_closed()
}

#[test]
fn a_controller_of_an_older_release_changes_nothing() -> Result<()> {
    let cluster = Cluster::shared()?;
    let older = Controller::watching(&cluster.kubeconfig, &["--pods=false"])?;
    let network = Network::new()?;
    let asks = format!("nodeStateServerURL: http://{}:{}", network.host(), older.port());
    let mut workload = Workload::on(&cluster, "older", &asks, |pod| pod.network(&network))?;
    cluster.evict("older")?;
    workload.running.signal(Signal::SIGTERM)?;
    workload.ends_with(STOPPED, "the controller does not say why: the controller answers 404")?;
    workload.is_closed()
}

#[test]
fn the_token_names_the_pod_whatever_the_environment_says() -> Result<()> {
    let cluster = Cluster::shared()?;
    let verb = ["--verb=create", "--resource=tokenreviews.authentication.k8s.io"];
    cluster.plane.kubectl(&[&["create", "clusterrole", "reviews"][..], &verb].concat())?;
    let account = "--serviceaccount=crik:crik-controller";
    cluster.plane.kubectl(&["create", "clusterrolebinding", "reviews", "--clusterrole=reviews", account])?;
    let guarded = Controller::watching(&cluster.kubeconfig, &["--auth", "token"])?;
    let uid = create(&cluster.plane, "guarded")?;
    let token = cluster.plane.token(APP, TokenRequest { audience: "crik", pod: "guarded", seconds: 0 })?;
    let (volume, network) = (Volume::new()?, Network::new()?);
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), guarded.port()))
        .config("nodeStateServerTokenFile: /var/run/crik/token")
        .secret("/var/run/crik", &[("token", &token)])
        .network(&network)
        .same_node_name();
    let mut running = started(&pod.known_as(&uid))?;
    cluster.evict("guarded")?;
    running.signal(Signal::SIGTERM)?;
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    running.stderr.wait_for("the pod is disrupted (api-eviction)")?;
    resumes(&started(&pod.with(|spec| spec.env("LATER", "1")))?, 1)
}

#[test]
fn another_pod_under_the_same_name_says_nothing_of_this_one() -> Result<()> {
    let mut workload = Workload::new("renamed", "")?;
    workload.cluster.delete("renamed", 0)?;
    drop(create(&workload.cluster.plane, "renamed")?);
    workload.running.signal(Signal::SIGTERM)?;
    workload.ends_with(STOPPED, "the controller tells of another pod of this name")?;
    workload.is_closed()
}

/// A hook that needs half of the grace period of its pod.
const HOOK: u64 = 5;

#[test]
fn what_a_hook_before_the_stop_has_used_of_the_grace_period_is_not_counted_on() -> Result<()> {
    let cluster = Cluster::shared()?;
    let sleep = json!({"exec": {"command": ["sleep", HOOK.to_string()]}});
    let container = json!({"name": "app", "image": "app", "lifecycle": {"preStop": sleep}});
    let mut workload = Workload::of(&cluster, "hooked", &container, "gracePeriod: 10s", |pod| pod)?;
    cluster.delete("hooked", 2 * HOOK as u32)?;
    // The kubelet waits for the hook; its time is the case, not a wait for something.
    thread::sleep(Duration::from_secs(HOOK));
    workload.running.signal(Signal::SIGTERM)?;
    workload.ends_with(
        STOPPED,
        "the pod is deleted (deletion); to have its program go on elsewhere, cordon its node first",
    )?;
    let said = workload.running.stderr.text();
    let told = |left: u64| said.contains(&format!("the pod has {left}s, less than gracePeriod"));
    // Both clocks tell whole seconds.
    ensure!((HOOK - 1..=HOOK + 1).any(told), "{}", workload.running.transcript());
    Ok(())
}

#[test]
fn a_shorter_grace_period_is_known_and_leaves_the_program_its_share() -> Result<()> {
    let hook = "hooks: {preCheckpoint: {command: [sleep, '60'], timeout: 70s, onFailure: ignore}}";
    let more = format!("gracePeriod: 120s\nreserve: 20s\ncheckpointOn: [draining]\n{hook}\ninterval: 1h");
    let cluster = Cluster::shared()?;
    let uid = create(&cluster.plane, "hurried")?;
    cluster
        .plane
        .create_node(&TestNode::ready("node-hurried").tainted("karpenter.sh/disrupted", "NoSchedule"))?;
    let (volume, network) = (Volume::new()?, Network::new()?);
    let pod = Pod::new(&volume, "node-hurried", &SINGLE)
        .config(&format!(
            "nodeStateServerURL: http://{}:{}\n{more}",
            network.host(),
            cluster.controller.port()
        ))
        .network(&network)
        .same_node_name()
        .with(|spec| {
            spec.env("GOODBYE", &STOPPED.to_string());
            spec.env("POD_NAMESPACE", "default");
            spec.env("POD_NAME", "hurried");
        });
    let mut running = started(&pod.known_as(&uid))?;
    cluster.delete("hurried", 6)?;
    let began = Instant::now();
    running.signal(Signal::SIGTERM)?;
    ensure!(running.wait()? == STOPPED, "{}", running.transcript());
    let took = began.elapsed();
    println!("of 6 s of grace the program got its SIGTERM and ended within {took:?}");
    // The hook alone would have taken a minute, and the configured grace period is two.
    ensure!(took < Duration::from_secs(30), "{took:?}\n{}", running.transcript());
    running.stderr.wait_for("the pod has 6s").with_context(|| running.transcript())
}
