//! What a program has made of its container goes over with it, and is put back as it was.

use anyhow::Result;
use crik_tests::chain;
use crik_tests::pod::Pod;
use crik_tests::story::checkpointed;
use crik_tests::table::Table;
use crik_tests::volume::Volume;

/// A program of `programs/carried.py`, over three containers on as many nodes.
fn goes_on(program: &str) -> Result<String> {
    let volume = Volume::new()?;
    let pod =
        Pod::new(&volume, "node-a", &["python3", "/programs/carried.py", program]).empty_dir("/scratch");
    let outputs: Vec<String> = (0..3).map(|_| checkpointed(&pod)).collect::<Result<_>>()?;
    Ok(format!("{} steps", chain::verify(&outputs)?))
}

#[test]
fn a_program_goes_on_whatever_files_its_container_had() -> Result<()> {
    let mut table = Table::new("files that only one container has");
    for program in ["jvm", "manager", "log", "shm", "temporary", "semaphore", "closed", "empty_dir"] {
        table.case(program, || goes_on(program));
    }
    table.finish()
}
