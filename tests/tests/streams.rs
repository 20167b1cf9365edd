//! CRIU writes a program's memory to a store while it dumps, and reads it from there while it restores. Whatever becomes of the store, the
//! program goes on, or nothing of it runs.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::Pod;
use crik_tests::spec::Spec;
use crik_tests::volume::Volume;

/// A tree of many processes and threads with this many megabytes, which looks at all of them at its end.
const HEAVY: [&str; 3] = ["/programs/heavy.py", "200", "30"];

/// Runs one of the cases of `src/bin/streams`, and returns what it says.
fn run(case: &str, program: &[&str], change: impl FnOnce(&mut Spec)) -> Result<String> {
    let volume = Volume::new()?;
    let pod =
        Pod::new(&volume, "node-a", &[]).binary(Path::new(env!("CARGO_BIN_EXE_streams"))).with(|spec| {
            spec.command(&["crik", case], program);
            change(spec);
        });
    let mut running = pod.start()?;
    let code = running.wait()?;
    ensure!(code == 0, "exit code {code}\n{}", running.transcript());
    Ok(running.stdout.text())
}

/// The same for one after which the program is whole.
fn goes_on(case: &str, change: impl FnOnce(&mut Spec)) -> Result<String> {
    let said = run(case, &HEAVY, change)?;
    chain::verify(std::slice::from_ref(&said)).with_context(|| said.clone())?;
    Ok(said)
}

#[test]
fn a_program_goes_on_over_several_moves() -> Result<()> {
    goes_on("moves", |_| ()).map(drop)
}

#[test]
fn its_clocks_go_on_by_the_kernel() -> Result<()> {
    let with_rights = |spec: &mut Spec| {
        spec.user_namespace = true;
        spec.capabilities.extend(["CAP_SYS_ADMIN", "CAP_SYS_TIME"].map(str::to_owned));
    };
    goes_on("clocks", with_rights).map(drop)
}

#[test]
fn it_runs_on_unharmed_where_the_store_fails() -> Result<()> {
    goes_on("sink-fails", |_| ()).map(drop)
}

#[test]
fn it_runs_on_unharmed_where_the_store_hangs() -> Result<()> {
    goes_on("sink-hangs", |_| ()).map(drop)
}

#[test]
fn nothing_of_it_runs_where_the_store_gives_something_else() -> Result<()> {
    let said = goes_on("source-fails", |_| ())?;
    let more = "the program's memory: there are more pages than its images tell of";
    ensure!(said.contains(more) && said.contains("criu failed: "), "{said}");
    Ok(())
}
