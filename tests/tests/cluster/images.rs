//! The images that users build from `deploy/`, which are the images that everything here runs.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::cluster::images::{RECIPES, build_all, dockerfile};

/// The agent's image: crik, CRIU, and the libraries of both. Its limit leaves room for their next releases.
const AGENT_LIMIT: u64 = 25_000_000;

#[test]
fn the_agents_image_has_the_agent_criu_and_their_libraries() -> Result<()> {
    let images = build_all(&RECIPES[..2])?;
    for image in &images {
        println!("{}: {:.1} MB", image.name, image.size()? as f64 / 1e6);
    }
    let agent = images.first().context("no image")?;
    ensure!(agent.size()? < AGENT_LIMIT, "{} has {} bytes", agent.name, agent.size()?);
    let files = agent.files()?;
    let allowed =
        |file: &String| file.starts_with("usr/local/lib/crik/") || file.starts_with("usr/local/bin/cri");
    let others: Vec<&String> = files.iter().filter(|file| !allowed(file)).collect();
    ensure!(others.is_empty(), "what is this for? {others:?}");
    for program in ["usr/local/bin/crik", "usr/local/bin/criu"] {
        ensure!(files.iter().any(|file| file == program), "{program} is missing");
    }
    Ok(())
}

/// The controller's, which has no CRIU.
const CONTROLLER_LIMIT: u64 = 25_000_000;

#[test]
fn the_controllers_image_has_the_controller_its_libraries_and_no_shell() -> Result<()> {
    let images = build_all(&RECIPES[1..2])?;
    let controller = images.first().context("no image")?;
    println!("{}: {:.1} MB", controller.name, controller.size()? as f64 / 1e6);
    ensure!(controller.size()? < CONTROLLER_LIMIT, "{} has {} bytes", controller.name, controller.size()?);
    let library = |file: &str| file.starts_with("lib") && file.contains(".so.");
    let files = controller.files()?;
    let (libraries, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| library(file));
    ensure!(others == ["usr/local/bin/crik-controller"], "what is this for? {others:?}");
    ensure!(libraries.len() <= 5, "{libraries:?}");
    Ok(())
}

#[test]
fn every_base_that_is_pulled_is_named_by_its_digest() -> Result<()> {
    for recipe in &RECIPES[..2] {
        let text = fs::read_to_string(workspace().join(recipe.file))?;
        for stage in dockerfile::parse(&text)? {
            let known = stage.base == "scratch" || stage.base.contains("@sha256:");
            ensure!(known, "{}: FROM {} is another image every week", recipe.file, stage.base);
        }
    }
    Ok(())
}

#[test]
fn the_bytes_of_a_layer_tell_neither_when_nor_in_which_order_its_files_were_written() -> Result<()> {
    let images = build_all(&RECIPES[..2])?;
    for image in &images {
        let digests = image.digests()?;
        let again = image.digest_of_another_build()?;
        ensure!(digests.last() == Some(&again), "{}: {digests:?}, and packed again {again}", image.name);
    }
    Ok(())
}
