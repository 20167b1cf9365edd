//! What is in `deploy/examples/recipes`, each run by its own manifest: workloads as users have them, and the lines that crik needs.

mod counting;
mod drained;
mod notebook;
mod put_off;
mod queued;

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use crik_tests::build::workspace;
use crik_tests::cluster::Space;
use crik_tests::cluster::images::{PUBLIC, build_all};

use crate::Turn;
use crate::one_label::{Release, chosen};

/// Where they are.
const DIRECTORY: &str = "deploy/examples/recipes";

/// What all of them are run with: the images that they name, and a controller that puts labelled pods under crik.
fn prepare(turn: &Turn) -> Result<Release<'_>> {
    turn.cluster.import(&build_all(&PUBLIC)?)?;
    Release::new(&turn.cluster)
}

/// Applies a recipe in a namespace of its own.
fn apply(turn: &Turn, file: &str) -> Result<Space> {
    let space = turn.space(file.trim_end_matches(".yaml"))?;
    chosen(&space)?;
    let path = workspace().join(DIRECTORY).join(file);
    space.apply(&fs::read_to_string(&path).with_context(|| path.display().to_string())?)?;
    Ok(space)
}

/// A part of a test that does not depend on the others.
type Part<'a, T> = (&'static str, Box<dyn FnOnce() -> Result<T> + Send + 'a>);

/// Does all of it at the same time, and tells of each that fails.
fn side_by_side<'a, T: Send + 'a>(
    parts: impl IntoIterator<Item = Part<'a, T>>,
) -> Result<Vec<(&'static str, T)>> {
    let results: Vec<_> = thread::scope(|scope| {
        let start = |(name, part): Part<'a, T>| {
            (name, thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, part))
        };
        let started: Vec<_> = parts.into_iter().map(start).collect();
        started.into_iter().map(|(name, thread)| (name, ended(thread))).collect()
    });
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (name, result) in results {
        match result {
            Ok(value) => done.push((name, value)),
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    if failed.is_empty() { Ok(done) } else { bail!(failed.join("\n\n")) }
}

fn ended<T>(thread: std::io::Result<thread::ScopedJoinHandle<'_, Result<T>>>) -> Result<T> {
    thread?.join().ok().context("a thread panicked")?
}

#[test]
fn each_recipe_is_run_and_told_of() -> Result<()> {
    let drained = drained::ENDLESS.iter().chain(&drained::ENDING).map(|(file, _)| *file);
    let run: BTreeSet<&str> = drained.chain(put_off::RECIPES.iter().map(|(file, _)| *file)).collect();
    let page = fs::read_to_string(workspace().join("docs/recipes.md"))?;
    for entry in fs::read_dir(workspace().join(DIRECTORY))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        ensure!(run.contains(&*file), "{file} is not run");
        ensure!(page.contains(&format!("(../{DIRECTORY}/{file})")), "docs/recipes.md does not name {file}");
    }
    Ok(())
}
