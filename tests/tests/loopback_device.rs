//! CRIU connects to itself over loopback before all else: where that interface is down it is brought up, or it is said at the start.

use anyhow::{Result, ensure};
use crik_tests::pod::Pod;
use crik_tests::story::{CHECKPOINTED, SINGLE, ends_with, resumes, started};
use crik_tests::volume::Volume;

#[test]
fn with_the_right_to_it_is_brought_up_and_the_program_goes_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).with(|spec| {
        spec.loopback = false;
        spec.capabilities.push("CAP_NET_ADMIN".to_owned());
    });
    ends_with(&mut started(&pod)?, CHECKPOINTED)?;
    resumes(&started(&pod)?, 1)
}

#[test]
fn without_it_the_start_and_the_doctor_say_what_is_down() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.loopback = false))?;
    running.stderr.wait_for("the loopback interface of the pod's network is down")?;
    let (code, told, _) = running.exec(&["crik", "doctor"])?;
    ensure!(code == Some(4) && told.contains("add the capability NET_ADMIN"), "{code:?} {told}");
    // What of it could be here is told in one line.
    let gifts = told.lines().find(|line| line.starts_with("hostUsers: false")).unwrap_or_default();
    ensure!(gifts.contains("it could be with hostUsers: false: clocks by the kernel"), "{told}");
    Ok(())
}
