//! What the other suites rely on: the next pod of a workload differs from the one before in all that differs in a cluster, and
//! a container that is restarted in its pod keeps what is the pod's.

use anyhow::{Context as _, Result, ensure};
use crik_tests::node::Boots;
use crik_tests::pod::{Pod, Running};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

/// A pod with a volume of each kind, without crik, that ends as soon as it is told to.
fn pod(volume: &Volume) -> Pod {
    Pod::new(volume, "node-a", &[])
        .with(|spec| spec.command(&["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done"], &[]))
        .empty_dir("/scratch")
        .config_map("/etc/app", &[("job.sh", "echo hello\n")])
        .secret("/etc/secret", &[("password", "secret")])
}

/// What a shell in the container prints.
fn told(running: &Running, script: &str) -> Result<String> {
    let (code, out, err) = running.exec(&["sh", "-c", script])?;
    ensure!(code == Some(0), "{script}: {out}{err}");
    Ok(out.trim().to_owned())
}

/// Stops a pod, and starts what comes in its place.
fn replaced(pod: &Pod, running: &mut Running) -> Result<Running> {
    ensure!(running.stop()? == 0, "{}", running.transcript());
    pod.start()
}

/// All that is another one on another node.
const DIFFERS: [&str; 12] = [
    "cat /proc/sys/kernel/random/boot_id",
    "hostname",
    "cat /etc/hostname",
    "cat /etc/hosts",
    "cat /etc/resolv.conf",
    "cat /proc/net/fib_trie",
    "cat /proc/1/oom_score_adj",
    "env | grep ^KUBERNETES_SERVICE_HOST=",
    "env | grep ^KUBERNETES_NODE_NAME=",
    "env | grep ^POD_IP=",
    "readlink /etc/app/..data",
    "readlink /etc/secret/..data",
];

#[test]
fn nothing_that_a_container_sees_of_its_node_is_the_same_on_the_next() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume);
    let mut first = pod.start()?;
    let before = DIFFERS.map(|script| told(&first, script));
    let second = replaced(&pod, &mut first)?;
    for (script, before) in DIFFERS.into_iter().zip(before) {
        let (before, after) = (before?, told(&second, script)?);
        ensure!(!after.is_empty() && before != after, "{script}: {after}");
    }
    // What the program itself needs is the same.
    ensure!(
        told(&second, "cat /etc/app/job.sh /etc/secret/password; echo $POD_NAME")?
            == "echo hello\nsecretjob-0"
    );
    Ok(())
}

/// Seconds on the clock that Python's `time` has under this name.
fn clock(running: &Running, name: &str) -> Result<f64> {
    let script = format!("import time; print(time.clock_gettime(time.{name}))");
    let (_, out, err) = running.exec(&["python3", "-c", &script])?;
    out.trim().parse().with_context(|| format!("{out}{err}"))
}

const CLOCKS: [&str; 3] = ["CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC_RAW"];

/// Expects that each pod's clocks are so many hours beside those of the one before it, to a tenth.
fn clocks_go(boots: Boots, hours: &[f64]) -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume).boots(boots);
    let mut running = pod.start()?;
    for expected in hours {
        let before = CLOCKS.map(|name| clock(&running, name));
        running = replaced(&pod, &mut running)?;
        for (name, before) in CLOCKS.into_iter().zip(before) {
            let gone = (clock(&running, name)? - before?) / 3600.0;
            ensure!((gone - expected).abs() < 0.1, "{name}: {gone} hours, not {expected}");
        }
    }
    Ok(())
}

#[test]
fn clocks_go_back_on_the_younger_node_and_on_again_on_the_older_one() -> Result<()> {
    clocks_go(Boots::YoungerFirst, &[-26.2, 26.65, -27.1])?;
    clocks_go(Boots::OlderFirst, &[26.2, -25.8])?;
    clocks_go(Boots::EverOlder, &[26.0, 26.0])
}

#[test]
fn uptime_and_start_times_are_those_of_the_node() -> Result<()> {
    let volume = Volume::new()?;
    let running = pod(&volume).start()?;
    let uptime = told(&running, "cut -d ' ' -f 1 /proc/uptime")?.parse::<f64>()?;
    ensure!((uptime - clock(&running, "CLOCK_BOOTTIME")?).abs() < 60.0, "{uptime}");
    let ticks = told(&running, "cut -d ' ' -f 22 /proc/1/stat")?.parse::<f64>()?;
    ensure!((uptime - ticks / 100.0).abs() < 60.0, "{uptime} and {ticks}");
    Ok(())
}

const MARK: &str =
    "for d in /scratch /dev/shm /var/log; do echo kept > $d/mark; done; echo 10.0.0.1 peer >> /etc/hosts";
const MARKS: &str =
    "cat /scratch/mark /dev/shm/mark /var/log/mark 2> /dev/null | wc -l; grep -c peer /etc/hosts || true";

#[test]
fn the_next_pod_has_an_empty_layer_empty_memory_and_empty_directories() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume);
    let mut first = pod.start()?;
    told(&first, MARK)?;
    ensure!(told(&first, MARKS)? == "3\n1");
    ensure!(told(&replaced(&pod, &mut first)?, MARKS)? == "0\n0");
    Ok(())
}

#[test]
fn a_restarted_container_keeps_all_of_its_pod_but_the_layer() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume);
    let mut first = pod.start()?;
    let before = DIFFERS.map(|script| told(&first, script));
    told(&first, MARK)?;
    first.signal(Signal::SIGKILL)?;
    first.wait()?;
    let second = pod.start()?;
    // All containers of a pod share its /dev/shm, as containerd and CRI-O mount it.
    ensure!(told(&second, MARKS)? == "2\n1", "{}", told(&second, MARKS)?);
    for (script, before) in DIFFERS.into_iter().zip(before) {
        let (before, after) = (before?, told(&second, script)?);
        ensure!(before == after || script == "cat /etc/hosts", "{script}: {before}, then {after}");
    }
    Ok(())
}

#[test]
fn a_changed_template_is_another_pod_and_so_is_a_replacement() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume).boots(Boots::YoungerFirst);
    let running =
        [pod.start()?, pod.clone().config("# changed").start()?, pod.replacement().start()?, pod.start()?];
    let names: Vec<&str> = running.iter().map(|one| one.node().name.as_str()).collect();
    ensure!(names == ["node-a", "node-b", "node-c", "node-a"], "{names:?}");
    let ahead = |n: usize| running[n].node().ahead;
    ensure!(ahead(1) < ahead(0) && ahead(2) > ahead(1) && ahead(3) == ahead(0));
    Ok(())
}
