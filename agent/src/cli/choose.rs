//! `crik choose`: decides with which line of descent the next start goes on.

use anyhow::Result;
use crik_store::image_dir::Generation;
use serde::Serialize;

use super::args::Choose;
use super::gc;
use crate::base::output::print;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chosen {
    next: Option<Generation>,
    given_up: Vec<Generation>,
}

/// Goes on with the line of a checkpoint, and gives the others up. The image directory is held meanwhile, as a pod holds it.
///
/// # Errors
/// There is no such checkpoint, a pod holds the image directory that may be alive, or the volume fails.
pub fn choose(args: &Choose) -> Result<()> {
    let (dir, config) = args.place.look()?;
    let generation = args.generation.find(&dir)?;
    let hold = gc::take(&dir, &config)?;
    let chosen = hold.choose_line(generation);
    hold.release();
    chosen?;
    let next = crik_store::image_dir::resumable::resumable(&dir)?.first().copied();
    let given_up = dir.lines()?.given_up;
    print(args.place.output, &Chosen { next, given_up }, told)
}

fn told(chosen: &Chosen) -> String {
    let next = match chosen.next {
        Some(next) => format!("the next start goes on with checkpoint {}", next.0),
        None => "the next start is a fresh one, since the work of that line has ended".to_owned(),
    };
    match chosen.given_up.as_slice() {
        [] => format!("{next}; there is no other line of descent\n"),
        given_up => format!("{next}; given up: {}, which crik gc removes\n", numbers(given_up)),
    }
}

/// Generations, for people.
pub fn numbers(generations: &[Generation]) -> String {
    generations.iter().map(|generation| generation.0.to_string()).collect::<Vec<_>>().join(", ")
}
