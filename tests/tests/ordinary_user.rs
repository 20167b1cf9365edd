//! A pod that does not run as root (`runAsUser: 1000`, `runAsNonRoot: true`, `fsGroup: 1000`) goes on elsewhere, and its program never
//! has a right that it would not have without crik. Where that is impossible it is said at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::{cargo_bin, with_capabilities};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::rootfs::with_more_rights;
use crik_tests::spec::bind;
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started, stops_in_order};
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use serde_json::json;

const USER: u32 = 1000;
const MOVES: u64 = 3;

fn pod(volume: &Volume, command: &[&str]) -> Result<Pod> {
    Pod::new(volume, "node-a", command).ordinary_user(USER)
}

/// The rights of each process whose program has this name, by its id in the container.
fn rights(running: &Running, name: &str) -> Result<BTreeMap<i32, String>> {
    let processes = running.processes().into_iter().filter(|process| process.name == name);
    processes.map(|process| Ok((process.pid, process.rights()?))).collect()
}

/// Runs a pod, and three others after it, each on another node. `look` sees each of them run.
fn moves(pod: &Pod, mut look: impl FnMut(&Running) -> Result<()>) -> Result<()> {
    let mut outputs = Vec::new();
    for generation in 0..=MOVES {
        let mut running = started(pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        look(&running).with_context(|| running.state())?;
        ends_with(&mut running, CHECKPOINTED)?;
        outputs.push(running.stdout.text());
    }
    chain::verify(&outputs).map(drop)
}

/// As by `capabilities: {drop: [ALL], add: [CHECKPOINT_RESTORE, SYS_PTRACE, SETPCAP]}`, what crik asks root for: what the image has of
/// other users is not its own.
#[test]
fn a_root_that_has_no_rights_but_those_that_crik_asks_for_moves_as_a_user_does() -> Result<()> {
    let volume = Volume::new()?;
    let asked_for = ["CAP_CHECKPOINT_RESTORE", "CAP_SYS_PTRACE", "CAP_SETPCAP"];
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .with(|spec| spec.capabilities.retain(|name| asked_for.contains(&name.as_str())));
    moves(&pod, |running| running.stderr.wait_for("protected: ").map(drop))
}

#[test]
fn a_tree_of_an_ordinary_user_moves_three_times_with_the_rights_that_it_has_without_crik() -> Result<()> {
    let volume = Volume::new()?;
    let command = ["python3", "/programs/tree.py"];
    let with = pod(&volume, &command)?;
    let without = with.clone().with(|spec| spec.command(&[], &command));
    let expected = rights(&started(&without)?, "python3")?;
    let expected = expected.into_values().next().context("nothing runs without crik")?;
    ensure!(expected.contains("CapEff:\t0000000000000000"), "{expected}");
    let mut before = None;
    moves(&with, |running| {
        let now = rights(running, "python3")?;
        ensure!(now.len() == 4 && now.values().all(|one| *one == expected), "{now:#?} is not {expected}");
        ensure!(*before.get_or_insert_with(|| now.clone()) == now, "{before:?}");
        Ok(())
    })
}

#[test]
fn a_program_gains_nothing_by_starting_crik_itself() -> Result<()> {
    let volume = Volume::new()?;
    let script = "crik run --config-path /dev/null -- sleep 1000 & exec \"$@\"";
    let pod = pod(&volume, &[&["sh", "-c", script, "sh"][..], &SINGLE].concat())?;
    let running = started(&pod)?;
    running.stderr.wait_for("no checkpoint can be taken here: no imageDir")?;
    let rights = rights(&running, "crik")?;
    let none = "CapPrm:\t0000000000000000";
    let (agents, theirs): (Vec<_>, Vec<_>) = rights.into_iter().partition(|(pid, _)| *pid < 300);
    ensure!(agents.iter().all(|(_, rights)| !rights.contains(none)), "{agents:?} {}", running.state());
    ensure!(!theirs.is_empty() && theirs.iter().all(|(_, rights)| rights.contains(none)), "{theirs:?}");
    Ok(())
}

#[test]
fn what_the_c_library_hides_from_a_program_with_rights_reaches_the_one_that_is_run() -> Result<()> {
    let volume = Volume::new()?;
    let hidden = ["LD_LIBRARY_PATH", "TMPDIR", "MALLOC_ARENA_MAX", "RES_OPTIONS"];
    let pod = pod(&volume, &SINGLE)?.with(|spec| {
        hidden.iter().for_each(|name| spec.env(name, "/dev/shm"));
    });
    let running = started(&pod)?;
    let python = running.processes().into_iter().find(|process| process.name == "python3");
    let pid = python.with_context(|| running.state())?.host_pid;
    let variables = fs::read(format!("/proc/{pid}/environ"))?;
    let variables: BTreeSet<&[u8]> = variables.split(|byte| *byte == 0).collect();
    for name in hidden {
        ensure!(variables.contains(format!("{name}=/dev/shm").as_bytes()), "{name} is missing");
    }
    Ok(())
}

#[test]
fn orphans_of_an_ordinary_user_stay_in_the_tree() -> Result<()> {
    let volume = Volume::new()?;
    let daemon = |running: &Running| {
        let pythons = running.processes().into_iter().filter(|process| process.name == "python3");
        pythons.map(|process| process.pid).max().context("there is no daemon")
    };
    let mut first = None;
    moves(&pod(&volume, &["python3", "/programs/daemons.py", "double"])?, |running| {
        let pid = daemon(running)?;
        ensure!(*first.get_or_insert(pid) == pid, "the daemon is another one");
        Ok(())
    })
}

/// A program of `programs/carried.py`, over three containers on as many nodes.
fn goes_on(program: &str) -> Result<String> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["python3", "/programs/carried.py", program])?.empty_dir("/scratch");
    let outputs: Vec<String> = (0..3).map(|_| checkpointed(&pod)).collect::<Result<_>>()?;
    Ok(format!("{} steps", chain::verify(&outputs)?))
}

#[test]
fn what_an_ordinary_user_has_made_in_its_container_goes_along() -> Result<()> {
    let mut table = Table::new("files of an ordinary user");
    for program in ["jvm", "manager", "shm", "temporary", "semaphore", "empty_dir"] {
        table.case(program, || goes_on(program));
    }
    table.finish()
}

#[test]
fn what_only_others_may_read_stays_behind_and_is_told() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &SINGLE)?.empty_dir("/scratch");
    let mut running = started(&pod)?;
    let first = running.processes().into_iter().find(|process| process.pid == 1).context("no agent")?;
    let scratch = format!("/proc/{}/root/scratch", first.host_pid);
    for (name, mode) in [("theirs", 0o600), ("shared", 0o644)] {
        fs::write(format!("{scratch}/{name}"), name)?;
        fs::set_permissions(format!("{scratch}/{name}"), Permissions::from_mode(mode))?;
    }
    fs::create_dir(format!("{scratch}/closed"))?;
    fs::set_permissions(format!("{scratch}/closed"), Permissions::from_mode(0o700))?;
    ends_with(&mut running, CHECKPOINTED)?;
    let left = "2 paths of other users have changed, cannot be read and stay behind: /scratch/closed, /scratch/theirs";
    running.stderr.wait_for(left)?;
    let next = started(&pod)?;
    resumes(&next, 1)?;
    next.stderr.wait_for("shared belonged to user 0 and group")?;
    let (_, found, _) = next.exec(&["sh", "-c", "ls /scratch; cat /scratch/shared"])?;
    ensure!(found == "shared\nshared", "{found}");
    Ok(())
}

#[test]
fn a_checkpoint_on_the_way_and_what_the_restored_program_is_told() -> Result<()> {
    let volume = Volume::new()?;
    // As the agent's image has it.
    let layer = tempfile::tempdir()?;
    fs::create_dir_all(layer.path().join("run/crik"))?;
    fs::set_permissions(layer.path(), Permissions::from_mode(0o755))?;
    fs::set_permissions(layer.path().join("run/crik"), Permissions::from_mode(0o1777))?;
    let pod = pod(&volume, &SINGLE)?.layer(layer.path());
    let mut running = started(&pod)?;
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{said}");
    ends_with(&mut running, CHECKPOINTED)?;
    let next = started(&pod)?;
    resumes(&next, 2)?;
    let (_, told, said) = next.exec(&["cat", "/run/crik/restored.json"])?;
    ensure!(told.contains("\"generation\": 2"), "{told}{said}");
    Ok(())
}

/// A pod in which no checkpoint can be taken: it says why, its program runs and gets its SIGTERM.
fn is_told(pod: &Pod, why: &str) -> Result<String> {
    let mut running = started(pod)?;
    running.stderr.wait_for("no checkpoint can be taken here: ")?;
    running.stderr.wait_for(why)?;
    stops_in_order(&mut running, 0)?;
    ensure!(running.stderr.text().contains("no checkpoint; the application is told to stop"));
    Ok("told, and stopped in order".to_owned())
}

const WHO: &str = "the container runs as user 1000, to whom Kubernetes gives no capabilities, so that crik has only those of its file: ";

/// With `crik` mounted so that its file gives nothing.
fn nosuid(pod: &Pod) -> Result<Pod> {
    let crik = with_capabilities(&cargo_bin("crik-agent", "crik", &[])?)?;
    let mut mount = bind(&crik, "/usr/local/bin/crik", "ro");
    mount["options"] = json!(["rbind", "ro", "nosuid"]);
    Ok(pod.clone().with(|spec| spec.mounts.push(mount)))
}

#[test]
fn what_takes_the_capabilities_away_is_said_at_the_start() -> Result<()> {
    let mut table = Table::new("an ordinary user without rights");
    let mut case = |name: &str, change: &dyn Fn(Pod) -> Result<Pod>, why: &str| {
        table.case(name, || {
            let volume = Volume::new()?;
            is_told(&change(pod(&volume, &SINGLE)?)?, why)
        });
    };
    let behind_a_shell = |pod: Pod| {
        Ok(pod.with(|spec| {
            spec.no_new_privileges = true;
            spec.command(&["sh", "-c", "exec crik run -- \"$@\"", "sh"], &SINGLE);
        }))
    };
    case(
        "allowPrivilegeEscalation: false",
        &behind_a_shell,
        &format!("{WHO}allowPrivilegeEscalation: false takes these away, unless crik is the first program"),
    );
    let mounted = format!("{WHO}/usr/local/bin/crik is on a file system that is mounted nosuid");
    case("nosuid", &|pod| nosuid(&pod), &mounted);
    let copied =
        format!("{WHO}/usr/local/bin/crik lacks CHECKPOINT_RESTORE, SYS_PTRACE, SETPCAP, as after a copy");
    case("a copy without them", &|pod| Ok(pod.binary(&cargo_bin("crik-agent", "crik", &[])?)), &copied);
    for capability in ["SYS_PTRACE", "SETPCAP"] {
        let name = format!("CAP_{capability}");
        let drop = |pod: Pod| Ok(pod.with(|spec| spec.capabilities.retain(|one| *one != name)));
        let why =
            format!("the capability {capability} is missing; add it to securityContext.capabilities.add");
        case(capability, &drop, &why);
    }
    table.finish()
}

#[test]
fn the_two_capabilities_alone_and_no_privilege_escalation_are_enough_where_crik_is_the_first_program()
-> Result<()> {
    let volume = Volume::new()?;
    let hardened = pod(&volume, &["python3", "/programs/tree.py"])?.empty_dir("/run/crik").with(|spec| {
        spec.no_new_privileges = true;
        spec.read_only = true;
        spec.capabilities
            .retain(|name| ["CAP_CHECKPOINT_RESTORE", "CAP_SYS_PTRACE"].contains(&name.as_str()));
    });
    let mut before = None;
    moves(&hardened, |running| {
        let now = rights(running, "python3")?;
        ensure!(now.values().all(|one| one.contains("NoNewPrivs:\t1")), "{now:?}");
        ensure!(*before.get_or_insert_with(|| now.clone()) == now, "{before:?} has become {now:?}");
        Ok(())
    })
}

#[test]
fn a_user_namespace_changes_nothing() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &SINGLE)?.with(|spec| spec.user_namespace = true);
    checkpointed(&pod)?;
    resumes(&started(&pod)?, 1)
}

#[test]
fn a_program_with_more_rights_than_crik_is_named_and_gets_its_sigterm() -> Result<()> {
    let volume = Volume::new()?;
    let layer = with_more_rights()?;
    let script = "/more-rights 1000 & exec \"$@\"";
    let pod = pod(&volume, &[&["sh", "-c", script, "sh"][..], &SINGLE].concat())?.layer(layer.path());
    is_told(&pod, "(more-rights) has capabilities of its own, which crik cannot give back to it").map(drop)
}

#[test]
fn no_attempt_is_made_where_the_rights_are_missing_and_none_is_counted() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &SINGLE)?;
    checkpointed(&pod)?;
    let mut running = nosuid(&pod.clone().config("onRestoreFailure: fail"))?.start()?;
    ensure!(running.wait()? == 75, "{}", running.transcript());
    running.stderr.wait_for("mounted nosuid")?;
    ensure!(running.stdout.text().is_empty(), "something ran\n{}", running.transcript());
    let claims = fs::read_dir(volume.path().join("job-0/claims")).into_iter().flatten().count();
    ensure!(claims == 0, "{claims} accounts of attempts");
    resumes(&started(&pod)?, 1)
}
