//! What the images tell of what is in them.

use std::fs;

use anyhow::{Result, ensure};
use crik_tests::build::workspace;
use crik_tests::cluster::images::dockerfile::{Step, parse};

/// An image of files alone says nothing of the packages that they are from.
#[test]
fn the_bill_of_materials_has_all_that_goes_into_the_images() -> Result<()> {
    for file in ["deploy/Dockerfile.agent", "deploy/Dockerfile.controller"] {
        let stages = parse(&fs::read_to_string(workspace().join(file))?)?;
        let sources = stages.iter().filter(|stage| stage.base != "scratch");
        let unseen: Vec<_> = sources.filter(|stage| !stage.steps.contains(&Step::Scanned)).collect();
        ensure!(unseen.is_empty() && stages.len() == 3, "{file}: {unseen:?}");
    }
    Ok(())
}
