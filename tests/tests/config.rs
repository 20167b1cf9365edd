//! A configuration that is wrong is refused with its mistake and the remedy, and nothing is started.

use anyhow::{Result, ensure};
use crik_tests::pod::Pod;
use crik_tests::story::{SINGLE, started, stops_in_order};
use crik_tests::volume::Volume;

#[test]
fn each_mistake_is_named_and_nothing_is_started() -> Result<()> {
    let volume = Volume::new()?;
    for (yaml, message) in [
        ("imagedir: /checkpoints/job", "unknown field `imagedir`, expected one of `imageDir`"),
        ("additionalPaths: /srv", "additionalPaths: invalid type: string \"/srv\", expected a sequence"),
        ("keepGenerations: many", "keepGenerations: invalid type: string \"many\""),
        ("gracePeriod: 30", "gracePeriod: \"30\" is no duration such as 30s"),
        (
            "checkpointOn: [drained]",
            "\"drained\" is no node state; there are unknown, ready, cordoned, evicting",
        ),
        ("imageDir: checkpoints", "imageDir: must be an absolute path"),
        (
            "imageDir: /checkpoints/${NOT_SET}",
            "the environment variable NOT_SET is not set; set it in the pod spec",
        ),
        (
            "exitCode: {checkpointed: 0}",
            "exitCode.checkpointed: must not be 0, or a Job counts a pod as done",
        ),
        (
            "nodeStateServerTokenFile: /run/secrets/kubernetes.io/serviceaccount/token",
            "the ServiceAccount's own token is for the API server",
        ),
        (
            "encryptionKeyFile: /checkpoints/job-0/keys\nimageDir: /checkpoints/job-0",
            "encryptionKeyFile: must not lie in imageDir",
        ),
        ("imageDir: {", "the configuration /etc/crik/config.yaml is wrong"),
    ] {
        let mut running = Pod::new(&volume, "node-a", &SINGLE).only_config(yaml).start()?;
        let code = running.wait()?;
        ensure!(code == 78, "{yaml}: exit code {code}\n{}", running.transcript());
        ensure!(running.stderr.text().contains(message), "{yaml}\n{}", running.transcript());
        ensure!(running.stdout.text().is_empty(), "{yaml}: the application was started");
    }
    Ok(())
}

#[test]
fn a_missing_file_means_the_defaults() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &[]).with(|spec| {
        spec.command(&["crik", "run", "--config-path", "/no/such/file", "--debug", "--"], &SINGLE)
    });
    let mut running = started(&pod)?;
    running.stderr.wait_for("no checkpoint can be taken here: there is no configuration /no/such/file")?;
    stops_in_order(&mut running, 0)
}

#[test]
fn a_pod_that_does_not_know_its_node_is_told_so_at_start() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "", &SINGLE).config("nodeStateServerURL: http://127.0.0.1:9");
    let running = started(&pod)?;
    running.stderr.wait_for("the environment variable KUBERNETES_NODE_NAME is not set")
}

#[test]
fn a_configuration_in_a_variable_takes_the_place_of_the_file_and_is_checked_like_it() -> Result<()> {
    let volume = Volume::new()?;
    let pod = |yaml: &str| {
        let file = Pod::new(&volume, "node-a", &SINGLE).only_config("imageDir: /nowhere/of-the-file");
        file.with(|spec| spec.env("CRIK_CONFIG", yaml))
    };
    let mut refused = pod("gracePeriod: 30").start()?;
    ensure!(refused.wait()? == 78, "{}", refused.transcript());
    let named = "the configuration $CRIK_CONFIG is wrong: gracePeriod: \"30\" is no duration such as 30s";
    ensure!(refused.stderr.text().contains(named), "{}", refused.transcript());
    let mut running = started(&pod("imageDir: /elsewhere/job"))?;
    running.stderr.wait_for("/elsewhere does not exist")?;
    stops_in_order(&mut running, 0)?;
    // What is empty says nothing, and who names a file means that.
    let named = pod("imageDir: {").with(|spec| {
        spec.command(&["crik", "run", "--config-path", "/no/such/file", "--debug", "--"], &SINGLE);
    });
    for (pod, said) in
        [(pod(""), "/nowhere does not exist"), (named, "there is no configuration /no/such/file")]
    {
        let mut running = started(&pod)?;
        running.stderr.wait_for(said)?;
        stops_in_order(&mut running, 0)?;
    }
    Ok(())
}
