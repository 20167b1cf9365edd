//! Whether a program is protected is known before its node goes away: one verdict, always in the same words, in the log and on the
//! volume, and told again when it changes; and what a person is told who asks is enough to mend what is in the way.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::compile::compiled;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::crik::{crik, json as printed};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::bind;
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use serde_json::json;

/// What stands in the log of a program that is protected, and of one that is not.
const PROTECTED: &str = "protected: checkpoints can be taken and resumed elsewhere (";
const NOT_PROTECTED: &str = "NOT PROTECTED: ";

/// What `crik list` says of a volume.
fn listed(volume: &Volume) -> Result<serde_json::Value> {
    printed(volume, &["list"])
}

/// The verdict that `crik list` shows, which is there a moment after the log has told it.
fn kept(volume: &Volume, protected: bool) -> Result<serde_json::Value> {
    wait_for("the verdict on the volume", || {
        let verdict = listed(volume).ok()?["holder"]["verdict"].clone();
        (verdict["protected"] == protected).then_some(verdict)
    })
}

/// How often a verdict of either kind was told.
fn told(running: &Running) -> (usize, usize) {
    let said = running.stderr.text();
    (said.matches(PROTECTED).count(), said.matches(NOT_PROTECTED).count())
}

#[test]
fn a_program_that_is_well_is_said_to_be_protected_at_each_start_and_on_the_volume() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    for generation in 0..2 {
        let running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        running.stderr.wait_for(PROTECTED).with_context(|| running.transcript())?;
        let line = "elsewhere (imageDir /checkpoints/job-0; clocks go on by crik's library)";
        ensure!(running.stderr.text().contains(line), "{}", running.transcript());
        kept(&volume, true)?;
        let (code, out, err) = running.exec(&["crik", "list"])?;
        ensure!(code == Some(0) && out.contains(&format!("\n{PROTECTED}")), "{out}{err}");
        ensure!(told(&running) == (1, 0), "{}", running.transcript());
        drop(running);
        if generation == 0 {
            checkpointed(&pod)?;
            let list = crik(&volume, &["list"])?.out;
            ensure!(!list.contains("protected"), "the verdict of a pod that has gone\n{list}");
        }
    }
    Ok(())
}

/// A program that has no library and writes to a file which goes along finds another inode under its name; not so on a volume.
#[test]
fn who_would_find_other_inodes_is_told_that() -> Result<()> {
    let program = compiled("waits/static.c")?;
    let path = format!("/compiled/{}", program.file_name().unwrap_or_default().to_string_lossy());
    let mount = bind(program.parent().unwrap_or(&program), "/compiled", "ro");
    let said =
        "linked statically) writes to /var/lib/rows, a file that has another inode in the next container";
    for (file, is_told) in [("/var/lib/rows", true), ("/checkpoints/rows", false)] {
        let volume = Volume::new()?;
        let command = ["sh", "-c", &format!("exec {path} 5> {file}")];
        let pod = Pod::new(&volume, "node-a", &command).with(|spec| spec.mounts.push(mount.clone()));
        let running = started(&pod)?;
        running.stderr.wait_for(PROTECTED).with_context(|| running.transcript())?;
        let (_, doctor, _) = running.exec(&["crik", "doctor"])?;
        ensure!(doctor.contains(said) == is_told, "{doctor}");
        ensure!(running.stderr.text().contains(said) == is_told, "{}", running.transcript());
    }
    Ok(())
}

#[test]
fn all_that_is_in_the_way_is_in_one_line_with_the_remedies() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/traced.py"])
        .with(|spec| spec.capabilities.retain(|name| name != "CAP_CHECKPOINT_RESTORE"));
    let running = started(&pod)?;
    running.stderr.wait_for("NOT PROTECTED: 2 reasons: ").with_context(|| running.transcript())?;
    let said = running.stderr.text();
    let line = said.lines().rfind(|line| line.contains(NOT_PROTECTED)).context("no verdict")?;
    for part in [
        "NOT PROTECTED: 2 reasons: (1) the capability CHECKPOINT_RESTORE is missing; add it to securityContext",
        " (2) process ",
        "(python3) is traced by process",
        "end the tracer",
    ] {
        ensure!(line.contains(part), "{part:?} is not in\n{line}");
    }
    wait_for("both reasons on the volume", || {
        let verdict = kept(&volume, false).ok()?;
        (verdict["reasons"].as_array()?.len() == 2).then_some(())
    })?;
    Ok(())
}

#[test]
fn a_program_that_is_never_checkpointed_is_told_in_the_same_words() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE).only_config("keepGenerations: 2"))?;
    running.stderr.wait_for("NOT PROTECTED: 1 reason: no imageDir is configured")
}

/// Starts a program that is not protected until somebody makes /tmp/end, and tells `controller` of it.
fn started_under_a_tracer(volume: &Volume, network: &Network, controller: &Controller) -> Result<Running> {
    let server = format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port());
    let pod = Pod::new(volume, "node-a", &["python3", "/programs/traced.py"]).config(&server);
    started(&pod.network(network))
}

/// The last verdict in a log.
fn logged(running: &Running) -> Option<String> {
    let said = running.stderr.text();
    let line = said.lines().rfind(|line| line.contains(PROTECTED) || line.contains(NOT_PROTECTED))?;
    let begins = line.find(PROTECTED).or_else(|| line.find(NOT_PROTECTED))?;
    Some(line[begins..].split(" step=").next()?.to_owned())
}

/// Expects the verdict in the same words wherever it is told: in the log, by `crik list` and `crik doctor` to people and to programs, and
/// by the controller, which counts agents by what it begins with. Returns it.
fn told_everywhere(running: &Running, controller: &Controller, begins: &str) -> Result<String> {
    wait_for("the verdict in the log", || logged(running).filter(|verdict| verdict.starts_with(begins)))
        .with_context(|| running.transcript())?;
    let said = |words: &[&str]| -> Result<String> { running.exec(words).map(|(_, out, _)| out) };
    let json = |words: &[&str]| -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&said(&[words, &["--output", "json"]].concat())?)?)
    };
    let verdict = wait_for("the verdict of the log on the volume", || {
        let listed = json(&["crik", "list"]).ok()?["holder"]["verdict"]["told"].as_str()?.to_owned();
        (logged(running)? == listed).then_some(listed)
    })
    .with_context(|| running.transcript())?;
    let list = said(&["crik", "list"])?;
    ensure!(list.lines().any(|line| line == verdict), "{verdict}\n{list}");
    let table = said(&["crik", "doctor"])?;
    ensure!(table.lines().next() == Some(&*verdict), "{verdict}\n{table}");
    let examined = json(&["crik", "doctor"])?;
    ensure!(examined["verdict"]["told"] == *verdict, "{verdict}\n{examined}");
    let label = verdict.split(':').next().unwrap_or_default().to_lowercase().replace(' ', "-");
    controller.metric_becomes(&format!("crik_agents{{protection=\"{label}\"}}"), 1.0)?;
    Ok(verdict)
}

/// Nobody asks for a checkpoint, before which there would be a look as well: the agent looks again by itself.
#[test]
fn one_verdict_is_told_in_the_same_words_everywhere_and_once_more_when_a_look_finds_that_it_has_changed()
-> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let running = started_under_a_tracer(&volume, &network, &controller)?;
    let verdict = told_everywhere(&running, &controller, NOT_PROTECTED)?;
    ensure!(verdict.starts_with("NOT PROTECTED: 1 reason: process "), "{verdict}");
    running.exec(&["touch", "/tmp/end"])?;
    running.stderr.wait_for("no longer in the way of a checkpoint: process ")?;
    told_everywhere(&running, &controller, PROTECTED)?;
    controller.metric_becomes("crik_agents{protection=\"not-protected\"}", 0.0)?;
    ensure!(told(&running) == (1, 1), "{}", running.transcript());
    Ok(())
}

#[test]
fn reasons_are_told_in_the_same_order_everywhere() -> Result<()> {
    let (volume, network) = (Volume::new()?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/traced.py"])
        .with(|spec| spec.capabilities.retain(|name| name != "CAP_CHECKPOINT_RESTORE"))
        .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port()))
        .network(&network);
    told_everywhere(&started(&pod)?, &controller, "NOT PROTECTED: 2 reasons: (1) ").map(drop)
}

/// What `crik doctor` ends with.
const WELL: i32 = 0;
const UNPROTECTED: i32 = 4;

/// Expects that `crik doctor` ends so and prints all of this.
fn examined(running: &Running, code: i32, parts: &[&str]) -> Result<String> {
    let (ended, out, err) = running.exec(&["crik", "doctor"])?;
    ensure!(ended == Some(code), "{ended:?}, not {code}\n{out}{err}");
    for part in parts {
        ensure!(out.contains(part), "{part:?} is not in\n{out}{err}");
    }
    Ok(out)
}

#[test]
fn of_a_pod_that_is_well_it_says_how_the_program_would_go_on() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    running.stderr.wait_for(PROTECTED).with_context(|| running.transcript())?;
    let parts =
        ["protected: checkpoints can be taken", "by crik's library", "/checkpoints/job-0 on ", "carried"];
    let out = examined(&running, WELL, &parts)?;
    ensure!(!out.contains("SEVERITY"), "{out}");
    Ok(())
}

#[test]
fn what_is_true_of_the_container_is_told_as_the_kernel_tells_it() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    let (_, out, err) = running.exec(&["crik", "doctor", "--output", "json"])?;
    let told: serde_json::Value = serde_json::from_str(&out).with_context(|| format!("{out}{err}"))?;
    let said = |command: &[&str]| running.exec(command).map(|(_, out, _)| out.trim().to_owned());
    let criu = said(&["criu", "--version"])?;
    for (of, is) in [
        ("kernel", said(&["uname", "-rm"])?),
        ("user", "0, in the node's user namespace".to_owned()),
        ("capabilities", "SYS_PTRACE, CHECKPOINT_RESTORE".to_owned()),
        ("ambient", "none".to_owned()),
        ("of crik's file", "none".to_owned()),
        ("seccomp", "no profile".to_owned()),
        ("criu", criu.lines().next().unwrap_or_default().replace("Version: ", "")),
    ] {
        let facts = told["facts"].as_array().context("no facts")?;
        let fact =
            facts.iter().find(|fact| fact["of"] == of).with_context(|| format!("no {of} in {told}"))?;
        ensure!(!is.is_empty() && fact["is"].as_str().is_some_and(|told| told.contains(&is)), "{fact}: {is}");
    }
    Ok(())
}

#[test]
fn programs_can_read_it_too_and_a_program_that_is_not_under_crik_yet_is_looked_at() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/showcase.py", "/checkpoints/open-file"]);
    let running = started(&pod)?;
    let (code, out, err) = running.exec(&["crik", "doctor", "--output", "json"])?;
    let told: serde_json::Value = serde_json::from_str(&out).with_context(|| format!("{out}{err}"))?;
    ensure!(code == Some(WELL) && told["verdict"]["reasons"] == json!([]), "{code:?} {told}");
    let descriptors = told["descriptors"].as_array().context("no descriptors")?;
    let fate = |what: &str| {
        let found = descriptors.iter().find(|one| one["what"].as_str().is_some_and(|is| is.contains(what)));
        found.map(|one| one["fate"].clone()).with_context(|| format!("{what} is not in {told}"))
    };
    ensure!(fate("/checkpoints/open-file")? == "kept" && fate("0.0.1:4711 listening")? == "kept", "{told}");
    ensure!(fate("in place of which is the next pod's")? == "carried", "{told}");

    let (code, out, err) =
        running.exec(&["sh", "-c", "sleep 100 & crik doctor --pid $!; code=$?; kill $!; exit $code"])?;
    ensure!(code == Some(WELL) && out.contains("is started by crik run)"), "{code:?} {out}{err}");
    ensure!(out.contains("not under crik"), "{out}");
    let (code, out, err) = running.exec(&["crik", "doctor", "--pid", "7777777"])?;
    ensure!(
        code == Some(UNPROTECTED) && out.contains("there is no process 7777777 in sight"),
        "{code:?} {out}{err}"
    );
    Ok(())
}

#[test]
fn a_look_holds_up_no_stop_and_leaves_nothing_behind() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let mut running = started(&pod)?;
    running.stderr.wait_for(PROTECTED)?;
    examined(&running, WELL, &[PROTECTED])?;
    let holds = std::fs::read_dir(volume.path().join("job-0/holders"))?.count();
    ensure!(holds == 1, "{holds} holds");
    // One after the other until the container has gone.
    running.exec(&["sh", "-c", "(while :; do crik doctor; done) >/dev/null 2>&1 </dev/null &"])?;
    wait_for("a look", || {
        let called = running.processes();
        // One of them is the agent.
        (called.iter().filter(|process| process.name == "crik").count() > 1).then_some(())
    })?;
    ends_with(&mut running, CHECKPOINTED)?;
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}
