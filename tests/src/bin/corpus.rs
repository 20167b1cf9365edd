//! `make corpus`: all programs of the corpus under crik, and by CRIU alone, into `docs/programs.md` and the README.

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use crik_tests::build::workspace;
use crik_tests::corpus::{Failure, Kept, Outcome, Recipe, Row, Workload, summary, workloads, write};

/// How often each program moves: a fault that the first move brings shows at the second, and what the second leaves at the third.
const MOVES: u32 = 3;

/// Between what in the README the summary stands.
const MARKS: [&str; 2] = ["<!-- by make corpus -->\n", "<!-- by hand again -->\n"];

fn main() -> Result<()> {
    let (options, only): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|one| one.starts_with("--"));
    let all = workloads()?;
    let unknown: Vec<&String> =
        only.iter().filter(|name| !all.iter().any(|one| one.name == **name)).collect();
    ensure!(unknown.is_empty(), "nothing is known of {unknown:?}");
    ensure!(options.iter().all(|one| one == "--afresh"), "of {options:?} only --afresh is known");
    let wanted = all.into_iter().filter(|one| only.is_empty() || only.contains(&one.name)).collect();
    let rows = all_tried(wanted, !options.is_empty());
    let page = write(&rows, MOVES);
    if only.is_empty() {
        fs::write(workspace().join("docs/programs.md"), &page)?;
        into_readme(&summary(&rows))?;
    } else {
        println!("{page}");
    }
    let fails = |row: &&Row| row.crik.came.is_err() || row.is_behind();
    let failing: Vec<&str> = rows.iter().filter(fails).map(|row| &*row.workload.name).collect();
    ensure!(failing.is_empty(), "these fail, or are behind what CRIU does alone: {}", failing.join(", "));
    Ok(())
}

/// Tells how far it is; whatever happens to one, the next is tried.
fn all_tried(wanted: Vec<Workload>, afresh: bool) -> Vec<Row> {
    let (began, count) = (Instant::now(), wanted.len());
    let numbered = wanted.into_iter().enumerate();
    numbered
        .map(|(number, workload)| {
            let minutes = began.elapsed().as_secs() / 60;
            eprintln!("{minutes:3} min, {} of {count}: {}", number + 1, workload.name);
            tried(workload, afresh)
        })
        .collect()
}

fn tried(workload: Workload, afresh: bool) -> Row {
    let crik = contained(|| Kept::by_crik(&workload, MOVES, afresh));
    let [plain, go] =
        [Recipe::Plain, Recipe::Go].map(|recipe| contained(|| Kept::by_criu(&workload, recipe, afresh)));
    let row = Row { crik, plain, go, workload };
    eprintln!("{}", told(&row));
    row
}

/// Whatever happens is an error of this attempt, a panic too.
fn contained<T>(attempt: impl FnOnce() -> Result<Kept<T>>) -> Kept<T> {
    let done = catch_unwind(AssertUnwindSafe(attempt));
    let done = done.unwrap_or_else(|panic| Err(panicked(panic.downcast_ref::<String>())));
    done.unwrap_or_else(|error| Kept { came: Err(Failure::of(&error)), earlier: false })
}

fn panicked(said: Option<&String>) -> Error {
    anyhow!("the harness panicked: {}", said.map_or("it did not say why", |said| said))
}

fn told(row: &Row) -> String {
    let crik = came(&row.crik, |outcome| match outcome {
        Outcome::GoesOn(_) => "goes on".to_owned(),
        Outcome::Refused { said, .. } => format!("refused: {said}"),
    });
    let [plain, go] = [&row.plain, &row.go].map(|kept| came(kept, |_| "goes on".to_owned()));
    format!("    crik: {crik}\n    plain CRIU: {plain}\n    the Go recipe: {go}")
}

fn came<T>(kept: &Kept<T>, well: impl Fn(&T) -> String) -> String {
    let failure = |failure: &Failure| format!("fails, {}: {}", failure.event, failure.why);
    let earlier = if kept.earlier { " (earlier)" } else { "" };
    kept.came.as_ref().map_or_else(failure, well) + earlier
}

fn into_readme(summary: &str) -> Result<()> {
    let path = workspace().join("README.md");
    let readme = fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(MARKS[0]).context("the README has no place for the summary")?;
    let (_, after) = rest.split_once(MARKS[1]).context("the README's place for the summary has no end")?;
    Ok(fs::write(&path, [before, MARKS[0], summary, "\n", MARKS[1], after].concat())?)
}
