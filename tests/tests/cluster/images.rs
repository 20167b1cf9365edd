//! The images that users build from `deploy/`, which are the images that everything here runs.

use anyhow::{Context as _, Result, ensure};
use crik_tests::cluster::images::{RECIPES, build_all};

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
