//! `crik doctor --trial` shows beforehand whether a program goes on elsewhere: a copy of it does, beside it, and the program, its files and its
//! checkpoints are as if nothing had been.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::bind;
use crik_tests::story::{CHECKPOINTED, SINGLE, STEPS, ends_with, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// What it ends with.
const WELL: i32 = 0;
const NOT_TRIED: i32 = 3;
const FAILED: i32 = 4;

/// A pod in which it can be tried: `hostUsers: false` and SYS_ADMIN, which is the pod's own then.
fn able(volume: &Volume, command: &[&str]) -> Pod {
    Pod::new(volume, "node-a", command).with(|spec| {
        spec.user_namespace = true;
        spec.capabilities.push("CAP_SYS_ADMIN".to_owned());
    })
}

/// Tries it, expects that it ends so, and returns what it says.
fn tried(running: &Running, expected: i32) -> Result<Value> {
    let (code, out, err) = running.exec(&["crik", "doctor", "--trial", "--output", "json"])?;
    ensure!(code == Some(expected), "{code:?}, not {expected}\n{out}{err}\n{}", running.transcript());
    serde_json::from_str(&out).with_context(|| format!("{out}{err}"))
}

/// All files where something could be left, and how many mounts and processes there are in the container and below.
fn left(running: &Running) -> Result<Vec<String>> {
    const LOOK: &str = "find /checkpoints /dev /tmp /run /var/tmp | sort; wc -l </proc/self/mountinfo; ls -d /proc/[0-9]* | wc -l";
    let (code, out, err) = running.exec(&["sh", "-c", LOOK])?;
    ensure!(code == Some(0), "{err}");
    Ok(out.lines().map(str::to_owned).collect())
}

#[test]
fn a_copy_goes_on_beside_the_program_and_nothing_of_it_is_left() -> Result<()> {
    let volume = Volume::new()?;
    let pod = able(&volume, &SINGLE);
    let mut running = started(&pod)?;
    running.stderr.wait_for("protected: checkpoints can be taken")?;
    // The verdict is on the volume a moment after the log has it.
    let settled = |there: &Vec<String>| there.iter().any(|path| path.ends_with("/verdict.json"));
    let before = wait_for("the verdict on the volume", || left(&running).ok().filter(settled))?;
    let said = tried(&running, WELL)?;
    println!("{said}");
    ensure!(said["shown"] == "resumed" && said["copy"]["wrong"] == json!([]), "{said}");
    ensure!(said["copy"]["stepping"].as_u64() > Some(0), "{said}");
    ensure!(
        said["durableMs"].as_u64() >= said["frozenMs"].as_u64() && said["bytes"].as_u64() > Some(0),
        "{said}"
    );
    let mut after = Vec::new();
    wait_for("nothing to be left", || {
        after = left(&running).ok()?;
        (before == after).then_some(())
    })
    .with_context(|| {
        format!("{:#?}", after.iter().filter(|one| !before.contains(one)).collect::<Vec<_>>())
    })?;
    let (code, out, err) = running.exec(&["crik", "doctor", "--trial"])?;
    println!("{out}");
    ensure!(
        code == Some(WELL) && out.contains("would be frozen ") && out.contains("; fits gracePeriod 30 s"),
        "{out}{err}"
    );
    // The program has not noticed, and its number is the first.
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    ends_with(&mut running, CHECKPOINTED)?;
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

#[test]
fn where_no_place_for_a_copy_can_be_made_it_is_said_and_the_program_is_not_frozen() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    let said = tried(&running, NOT_TRIED)?;
    println!("{said}");
    let why = said["reasons"][0].as_str().context("no reason")?;
    ensure!(why.contains("hostUsers: false and the capability SYS_ADMIN"), "{said}");
    ensure!(why.contains("crik doctor --trial --manifest"), "{said}");
    ensure!(said["frozenMs"].is_null() && !running.stderr.text().contains("was frozen for"), "{said}");
    Ok(())
}

#[test]
fn a_program_that_cannot_be_checkpointed_is_told_and_goes_on() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&able(&volume, &["python3", "/programs/traced.py"]))?;
    let said = tried(&running, FAILED)?;
    let why = said["reasons"][0].as_str().context("no reason")?;
    ensure!(said["shown"] == "failed" && why.contains("is traced by process"), "{said}");
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)
}

#[test]
fn a_full_volume_costs_nothing_older() -> Result<()> {
    let volume = Volume::of_size(48)?;
    let running = started(&able(&volume, &SINGLE))?;
    let (code, out, err) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{out}{err}");
    let filler = volume.path().join("filler");
    let free = nix::sys::statvfs::statvfs(volume.path())?;
    let bytes = free.blocks_available() * free.fragment_size();
    fs::write(&filler, vec![0; usize::try_from(bytes.saturating_sub(4 << 20))?])?;
    let said = tried(&running, FAILED)?;
    let why = said["reasons"][0].as_str().context("no reason")?;
    ensure!(why.contains("make the volume larger"), "{said}");
    ensure!(volume.generations("job-0").len() == 1, "an older one was given up");
    fs::remove_file(filler)?;
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)
}

/// Sends a signal to the agent while the copy of a trial runs.
fn signalled_in_a_trial(running: &Running, signal: Signal) -> Result<()> {
    thread::scope(|scope| {
        let asked = scope.spawn(|| running.exec(&["crik", "doctor", "--trial"]));
        running.stderr.wait_for("was frozen for")?;
        wait_for("the copy", || (running.nested_processes() > 0).then_some(()))?;
        running.signal(signal)?;
        let _ = asked.join().map_err(|_| anyhow!("it panicked"))?;
        Ok(())
    })
}

#[test]
fn a_stop_goes_first() -> Result<()> {
    let volume = Volume::new()?;
    let pod = able(&volume, &SINGLE);
    let mut running = started(&pod)?;
    running.stderr.wait_for("protected: checkpoints can be taken")?;
    signalled_in_a_trial(&running, Signal::SIGTERM)?;
    let code = running.wait()?;
    ensure!(code == CHECKPOINTED, "{code}\n{}", running.transcript());
    let next = started(&pod)?;
    resumes(&next, 1)?;
    let (_, found, _) = next.exec(&["find", "/checkpoints", "-name", "trial-*"])?;
    ensure!(found.is_empty(), "{found}");
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

/// Expects that nothing of a trial is left in the container and on the volume.
fn nothing_is_left(running: &Running) -> Result<()> {
    wait_for("nothing to be left", || {
        let (_, found, _) = running.exec(&["find", "/checkpoints", "-name", "trial-*"]).ok()?;
        (found.is_empty() && running.nested_processes() == 0).then_some(())
    })
}

#[test]
fn an_agent_that_is_killed_during_a_trial_leaves_nothing_to_the_next_one() -> Result<()> {
    let volume = Volume::new()?;
    let pod = able(&volume, &SINGLE);
    let mut running = started(&pod)?;
    running.stderr.wait_for("protected: checkpoints can be taken")?;
    signalled_in_a_trial(&running, Signal::SIGKILL)?;
    running.wait()?;
    // No checkpoint has been taken but that of the trial, which counts for nothing.
    let next = started(&pod)?;
    next.stderr.wait_for("the application starts fresh")?;
    nothing_is_left(&next)?;
    ensure!(tried(&next, WELL)?["shown"] == "resumed", "{}", next.transcript());
    nothing_is_left(&next)
}

#[test]
fn who_asks_may_go_away_meanwhile() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&able(&volume, &SINGLE))?;
    running.stderr.wait_for("protected: checkpoints can be taken")?;
    const CUT_OFF: &str = "
crik doctor --trial & asker=$!
while [ -e /proc/$asker ] && ! find /checkpoints -name 'trial-*' | grep -q .; do :; done
kill -9 $asker; wait $asker; echo $?";
    wait_for("one that is killed before its answer comes", || {
        let (_, said, _) = running.exec(&["sh", "-c", CUT_OFF]).ok()?;
        said.trim_end().ends_with("137").then_some(())
    })?;
    nothing_is_left(&running)?;
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    // The trial that nobody waits for may still be under way.
    wait_for("another trial", || tried(&running, WELL).ok())?;
    nothing_is_left(&running)
}

#[test]
fn an_ordinary_user_is_told_where_it_can_be_tried() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&able(&volume, &SINGLE).ordinary_user(1000)?)?;
    running.stderr.wait_for("protected: checkpoints can be taken")?;
    // It has in its pod what root would need, and still not the right.
    let said = tried(&running, NOT_TRIED)?;
    let why = said["reasons"][0].as_str().context("no reason")?;
    ensure!(why.contains("in one that runs as root (runAsUser: 0), with hostUsers: false"), "{said}");
    ensure!(!running.stderr.text().contains("was frozen for"), "{}", running.transcript());
    nothing_is_left(&running)
}

/// Writes to the volume and to memory, and listens.
const WRITES: &str = "
import socket, time
listening = socket.socket(); listening.bind(('', 8080)); listening.listen()
out, state = open('/checkpoints/out', 'a', buffering=1), open('/tmp/state', 'w+')
n = 0
while True:
    n += 1
    out.write(f'{n}\\n'); state.seek(0); state.write(f'{n:09}'); state.flush()
    print('step', n, flush=True)
    time.sleep(0.02)
";

#[test]
fn a_copy_writes_nothing_to_the_files_of_the_program() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&able(&volume, &["python3", "-c", WRITES]))?;
    let said = tried(&running, WELL)?;
    ensure!(said["copy"]["stepping"].as_u64() > Some(0), "{said}");
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    let written = fs::read_to_string(volume.path().join("out"))?;
    let expected: String = (1..=written.lines().count()).map(|n| format!("{n}\n")).collect();
    ensure!(written == expected, "{written}");
    let steps: Vec<String> = running.stdout.text().lines().map(str::to_owned).collect();
    ensure!(steps.iter().enumerate().all(|(at, line)| *line == format!("step {}", at + 1)), "{steps:?}");
    Ok(())
}

#[test]
fn a_program_that_has_locked_files_can_be_tried() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&able(&volume, &["python3", "/programs/locked.py", "/checkpoints"]))?;
    running.stderr.wait_for("protected: checkpoints can be taken")?;
    ensure!(tried(&running, WELL)?["shown"] == "resumed", "{}", running.transcript());
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)
}

/// A pod's object as its API server gives it, as far as it matters here.
const OBJECT: &str = r#"{
    "kind": "Pod",
    "metadata": {"name": "job-0", "namespace": "default", "uid": "1-2-3", "labels": {"app": "job"}},
    "spec": {
        "nodeName": "node-a",
        "containers": [{
            "name": "app", "image": "programs:1", "command": ["crik", "run", "--", "python3"],
            "volumeMounts": [{"name": "checkpoints", "mountPath": "/checkpoints"}]
        }],
        "volumes": [{"name": "checkpoints", "persistentVolumeClaim": {"claimName": "job"}}]
    }
}"#;

/// Has a checkpoint kept and a second pod's manifest printed, as who pipes `kubectl get pod` into it. Returns the pod.
fn second_pod(running: &Running, volume: &Volume) -> Result<Value> {
    fs::write(volume.path().join("pod.json"), OBJECT)?;
    let piped = "crik doctor --trial --manifest </checkpoints/pod.json";
    let (code, out, err) = running.exec(&["sh", "-c", piped])?;
    println!("{out}\n{err}");
    ensure!(code == Some(WELL), "{out}{err}\n{}", running.transcript());
    for part in ["BESIDE the program", "kubectl delete -f", "job-0-crik-trial", "15 minutes"] {
        ensure!(err.contains(part), "{part:?} is not in\n{err}");
    }
    let list: Value = serde_json::from_str(&out)?;
    ensure!(list["items"][0]["kind"] == "NetworkPolicy", "{list}");
    Ok(list["items"][1].clone())
}

/// Runs the second pod as a kubelet makes it of its manifest, and returns its exit code and all that it said.
fn run_second(pod: &Pod, object: &Value, volume: &Volume) -> Result<(i32, String)> {
    let container = &object["spec"]["containers"][0];
    let words: Vec<&str> =
        container["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let empty = Volume::new()?;
    let second = pod.on(&empty).with(|spec| {
        spec.command(&[], &words);
        spec.mounts.push(bind(volume.path(), "/crik-trial/0", "ro"));
    });
    let mounts = &container["volumeMounts"];
    let expected = json!([
        {"name": "crik-trial-0", "mountPath": "/checkpoints"},
        {"name": "checkpoints", "mountPath": "/crik-trial/0", "readOnly": true},
    ]);
    ensure!(*mounts == expected, "{mounts}");
    let mut second = second.start()?;
    let code = second.wait()?;
    Ok((code, second.transcript()))
}

/// How many images of trials are on the volume.
fn images(volume: &Volume) -> Result<usize> {
    let holders = fs::read_dir(volume.path().join("job-0/holders"))?;
    let mut count = 0;
    for holder in holders {
        let entries = fs::read_dir(holder?.path())?.flatten();
        count += entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("trial-")).count();
    }
    Ok(count)
}

#[test]
fn in_a_second_pod_a_copy_goes_on_and_changes_nothing_of_the_first() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "-c", WRITES]);
    let mut running = started(&pod)?;
    running.stderr.wait_for("protected: checkpoints can be taken")?;
    let object = second_pod(&running, &volume)?;
    let (code, said) = run_second(&pod, &object, &volume)?;
    println!("{said}");
    ensure!(
        code == WELL && said.contains("trial: the program was checkpointed, and a copy of it went on"),
        "{code}\n{said}"
    );
    ensure!(said.contains("would be frozen ") && said.contains("fits gracePeriod 30 s"), "{said}");
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    let written = fs::read_to_string(volume.path().join("out"))?;
    let expected: String = (1..=written.lines().count()).map(|n| format!("{n}\n")).collect();
    ensure!(written == expected, "{written}");
    ensure!(volume.generations("job-0").is_empty() && images(&volume)? == 1, "{}", running.transcript());
    // A second trial is in place of the first, and with the pod the last one goes.
    second_pod(&running, &volume)?;
    ensure!(images(&volume)? == 1, "both are kept");
    ends_with(&mut running, CHECKPOINTED)?;
    ensure!(images(&volume)? == 0, "it is left behind");
    resumes(&started(&pod)?, 1)
}

#[test]
fn a_checkpoint_that_needs_the_room_of_a_kept_trial_gets_it() -> Result<()> {
    let volume = Volume::of_size(48)?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    second_pod(&running, &volume)?;
    let free = nix::sys::statvfs::statvfs(volume.path())?;
    let bytes = free.blocks_available() * free.fragment_size();
    fs::write(volume.path().join("filler"), vec![0; usize::try_from(bytes.saturating_sub(8 << 20))?])?;
    let (code, out, err) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{out}{err}");
    ensure!(images(&volume)? == 0, "it is kept at the cost of a checkpoint");
    Ok(())
}

#[test]
fn what_is_no_pod_is_refused_before_the_program_is_frozen() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    let (code, _, err) = running.exec(&["sh", "-c", "echo '{}' | crik doctor --trial --manifest"])?;
    ensure!(code == Some(1) && err.contains("pipe kubectl get pod NAME -o json into this"), "{code:?} {err}");
    ensure!(
        images(&volume)? == 0 && !running.stderr.text().contains("was frozen for"),
        "{}",
        running.transcript()
    );
    Ok(())
}

/// Tries a program that uses its connections at each step, and returns what is told of them. The program itself keeps all.
fn connected(pod: &Pod, lost: &str) -> Result<(usize, Vec<String>)> {
    let running = started(pod)?;
    running.stderr.wait_for("protected: ").with_context(|| running.transcript())?;
    let said = tried(&running, WELL)?;
    println!("{said}");
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    ensure!(!running.stderr.text().contains(lost), "{}", running.transcript());
    let kept = said["connections"]["kept"].as_u64().context("no connections")?;
    let closed = said["connections"]["closed"].as_array().context("no connections")?;
    let closed = closed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok((usize::try_from(kept)?, closed))
}

#[test]
fn connections_within_the_program_that_go_on_are_told_from_those_that_are_closed() -> Result<()> {
    let told = |config: &str| {
        let volume = Volume::new()?;
        let pod = able(&volume, &["python3", "/programs/loopback.py", "many4:3"]).config(config);
        let pod = pod.with(|spec| spec.capabilities.push("CAP_NET_ADMIN".to_owned()));
        connected(&pod, " is closed")
    };
    let (kept, closed) = told("loopbackConnections: close")?;
    ensure!(kept == 0 && closed.len() == 6 && closed[0].contains("tcp 127.0.0.1:"), "{kept} {closed:?}");
    let (kept, closed) = told("loopbackConnections: keep")?;
    ensure!(kept == 6 && closed.is_empty(), "{kept} {closed:?}");
    Ok(())
}

/// Is connected to itself, and to who listens at the path; it says so when it loses that one, and goes on alone.
const CLIENT: &str = "
import socket, sys, time
one, other = socket.socketpair()
client = socket.socket(socket.AF_UNIX); client.connect(sys.argv[1])
n = 0
while True:
    n += 1
    one.send(b'x'); other.recv(1)
    try:
        if client and not (client.send(b'x') and client.recv(1)): raise OSError
    except OSError:
        client = print('lost', file=sys.stderr, flush=True)
    print('step', n, flush=True)
    time.sleep(0.02)
";

#[test]
fn a_unix_connection_to_outside_is_told_to_be_closed_and_is_not_by_the_trial() -> Result<()> {
    let volume = Volume::new()?;
    let daemon = UnixListener::bind(volume.path().join("daemon.sock"))?;
    thread::spawn(move || {
        for client in daemon.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &client, &mut &client));
        }
    });
    let pod = able(&volume, &["python3", "-c", CLIENT, "/checkpoints/daemon.sock"]);
    let (kept, closed) = connected(&pod, "lost")?;
    ensure!(kept == 2 && closed.len() == 1 && closed[0].contains("a unix stream to "), "{kept} {closed:?}");
    Ok(())
}
