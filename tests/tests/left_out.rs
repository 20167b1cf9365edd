//! What CRIU cannot freeze, and what programs can do without: they are started so that they leave it out.

use anyhow::{Result, ensure};
use crik_tests::compile::compiled;
use crik_tests::pod::Pod;
use crik_tests::spec::bind;
use crik_tests::story::{CHECKPOINTED, ends_with, resumes};
use crik_tests::ticks::wait_for_each;
use crik_tests::volume::Volume;

/// A pod with a server that is written in Go.
fn server(volume: &Volume) -> Result<Pod> {
    let program = compiled("listener.go")?;
    let mount = bind(&program, "/server", "ro");
    Ok(Pod::new(volume, "node-a", &["/server"]).with(|spec| spec.mounts.push(mount.clone())))
}

#[test]
fn a_server_in_go_does_without_multipath_tcp() -> Result<()> {
    let volume = Volume::new()?;
    let pod = server(&volume)?;
    for generation in 0..3 {
        let mut running = pod.start()?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        wait_for_each(&running, &["answered"])?;
        ends_with(&mut running, CHECKPOINTED)?;
        ensure!(running.stderr.text().contains("is durable"), "{}", running.transcript());
    }
    Ok(())
}

#[test]
fn one_that_is_to_have_it_is_told_why_it_cannot_be_frozen() -> Result<()> {
    let volume = Volume::new()?;
    for pod in [
        server(&volume)?.config("multipathTcp: true"),
        server(&volume)?.with(|spec| spec.env("GODEBUG", "multipathtcp=1")),
    ] {
        let mut running = pod.start()?;
        wait_for_each(&running, &["answered"])?;
        running.signal(nix::sys::signal::Signal::SIGTERM)?;
        running.wait()?;
        let said = running.stderr.text();
        ensure!(
            said.contains("a socket of MPTCP")
                && said.contains("net.mptcp.enabled")
                && !said.contains("is durable"),
            "{}",
            running.transcript()
        );
    }
    Ok(())
}
