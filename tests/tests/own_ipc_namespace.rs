//! In a pod where crik may make an IPC namespace, a program has one of its own, and what it has of System V goes on with it. Where none can
//! be made, a program that has any is left as it is, and one that has none goes on as ever.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::Spec;
use crik_tests::story::{
    CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started, stays_behind, stops_without_checkpoint,
};
use crik_tests::volume::Volume;

const EVERY_KIND: [&str; 7] = [
    "python3",
    "/programs/system_v.py",
    "shared_memory",
    "memory_of_nobody",
    "queue",
    "semaphores",
    "fresh_semaphores",
];

/// What a pod with `hostUsers: false` may be given, since it counts in that pod alone.
fn with_user_namespace(spec: &mut Spec) {
    spec.user_namespace = true;
    spec.capabilities.extend(["CAP_SYS_ADMIN", "CAP_SYS_TIME"].map(str::to_owned));
}

/// What the program sees at this path, in whatever namespace it is.
fn seen(running: &Running, path: &str) -> Result<String> {
    let program = running.processes().into_iter().find(|process| process.name == "python3");
    let target = program.with_context(|| running.state())?.host_pid.to_string();
    let output = Command::new("nsenter").args(["--ipc", "--target", &target, "cat", path]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Key, id, mode, size and user of all that the program has of System V. The mode tells of memory whether it was removed.
fn objects(running: &Running) -> Result<Vec<String>> {
    let mut objects = Vec::new();
    for (kind, columns) in [("shm", [0, 1, 2, 3, 7]), ("msg", [0, 1, 2, 4, 7]), ("sem", [0, 1, 2, 3, 4])] {
        let list = seen(running, &format!("/proc/sysvipc/{kind}"))?;
        objects.extend(list.lines().skip(1).map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{kind} {:?}", columns.map(|at| words.get(at).copied().unwrap_or_default()))
        }));
    }
    Ok(objects)
}

#[test]
fn what_a_program_has_of_system_v_goes_on_in_a_namespace_of_its_own() -> Result<()> {
    for user in [&[][..], &["user"]] {
        let volume = Volume::new()?;
        let command = [&EVERY_KIND[..], user].concat();
        let pod = Pod::new(&volume, "node-a", &command).with(with_user_namespace);
        let mut running = started(&pod)?;
        running.stderr.wait_for("protected: ").with_context(|| running.transcript())?;
        let (had, mut said) = (objects(&running)?, Vec::new());
        ensure!(had.len() == 4 && had[0].contains("1600"), "{had:?}\n{}", running.transcript());
        for generation in 1..=3 {
            ends_with(&mut running, CHECKPOINTED)?;
            said.push(running.stdout.text());
            running = started(&pod)?;
            resumes(&running, generation)?;
            ensure!(objects(&running)? == had, "{:?}, not {had:?}", objects(&running)?);
        }
        said.push(running.stdout.text());
        chain::verify(&said)?;
    }
    Ok(())
}

#[test]
fn what_is_set_of_the_pods_namespace_is_set_of_the_programs() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &EVERY_KIND).with(with_user_namespace);
    let pod =
        pod.with(|spec| spec.sysctls = vec![("kernel.shmmni", "123"), ("kernel.sem", "250 32000 32 77")]);
    let is_set = |running: &Running| -> Result<()> {
        let seen = ["shmmni", "sem"].map(|name| seen(running, &format!("/proc/sys/kernel/{name}")));
        let told = seen.into_iter().collect::<Result<Vec<_>>>()?;
        ensure!(told == ["123\n", "250\t32000\t32\t77\n"], "{told:?}\n{}", running.transcript());
        Ok(())
    };
    let mut first = started(&pod)?;
    is_set(&first)?;
    ends_with(&mut first, CHECKPOINTED)?;
    let next = started(&pod)?;
    resumes(&next, 1)?;
    is_set(&next)
}

#[test]
fn where_no_namespace_can_be_made_such_a_program_is_not_touched_and_goes_on_where_one_can() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &EVERY_KIND).config("onRestoreFailure: fail\nonClockBack: resume");
    let with = pod.clone().with(with_user_namespace);
    let first = checkpointed(&with)?;
    for _ in 0..4 {
        let mut without = pod.replacement().start()?;
        ensure!(without.wait()? == 75, "{}", without.transcript());
        let told = without.stderr.text();
        ensure!(told.contains("none can be made here; give the pod hostUsers: false"), "{told}");
    }
    let next = started(&with.replacement())?;
    resumes(&next, 1)?;
    chain::verify(&[first, next.stdout.text()]).map(drop)
}

#[test]
fn a_program_that_has_none_goes_on_in_the_pods_namespace_too() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).with(with_user_namespace);
    let first = checkpointed(&pod)?;
    let next = started(&pod.config("ownIpcNamespace: false"))?;
    resumes(&next, 1)?;
    chain::verify(&[first, next.stdout.text()]).map(drop)
}

#[test]
fn a_program_that_shares_with_other_containers_stays_in_the_pods_namespace() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &EVERY_KIND).with(with_user_namespace);
    let mut running = started(&pod.config("ownIpcNamespace: false"))?;
    running
        .stderr
        .wait_for("(python3) has shared memory of System V")
        .with_context(|| running.transcript())?;
    stops_without_checkpoint(&mut running, &volume)
}

#[test]
fn a_queue_of_posix_that_nobody_has_open_stays_behind_and_that_is_said_here_too() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/system_v.py", "posix_queue"]);
    let pod = pod.with(with_user_namespace);
    let said = "that no process of the program has open (1, such as /crik)";
    stays_behind(&pod, said, |first| {
        ensure!(
            first.exec(&["ls", "/dev/mqueue"])?.1.is_empty(),
            "the directory is the pod's\n{}",
            first.transcript()
        );
        Ok(())
    })
}

/// As the README says of SEM_UNDO, which CRIU does not know.
#[test]
fn what_a_process_would_give_back_at_its_end_is_forgotten_by_a_move_and_by_nothing_else() -> Result<()> {
    for (moves, left) in [(false, 1), (true, 0)] {
        let volume = Volume::new()?;
        let pod = Pod::new(&volume, "node-a", &["python3", "/programs/system_v.py", "lent"]);
        let pod = pod.with(with_user_namespace);
        let mut running = started(&pod)?;
        if moves {
            ends_with(&mut running, CHECKPOINTED)?;
            running = started(&pod)?;
            resumes(&running, 1)?;
        }
        running.exec(&["touch", "/tmp/end"])?;
        running
            .stderr
            .wait_for(&format!("after its end it is {left}"))
            .with_context(|| running.transcript())?;
    }
    Ok(())
}

#[test]
fn doctor_tells_whether_there_is_such_a_namespace() -> Result<()> {
    let what = "shared memory, semaphores and message queues of System V (ownIpcNamespace)";
    let told = |change: fn(&mut Spec)| -> Result<String> {
        let volume = Volume::new()?;
        let (_, told, _) =
            started(&Pod::new(&volume, "node-a", &SINGLE).with(change))?.exec(&["crik", "doctor"])?;
        Ok(told.lines().find(|line| line.starts_with("hostUsers: false")).unwrap_or_default().to_owned())
    };
    let (without, with) = (told(|_| ())?, told(with_user_namespace)?);
    ensure!(without.contains(&format!("{what} (with SYS_ADMIN)")), "{without}");
    ensure!(with.contains(what) && !with.contains(&format!("{what} (with")), "{with}");
    Ok(())
}
