//! `docs/programs.md`: which programs go on, and what that takes.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Error, Result};

use super::checkpoint::Figures;
use super::cycles::Outcome;
use super::workload::{Group, Workload};

/// A workload, and what became of it by crik and by CRIU alone.
pub struct Row {
    /// The workload.
    pub workload: Workload,
    /// Under crik.
    pub crik: Result<Outcome, Error>,
    /// By CRIU alone in the same pod.
    pub plain: Result<Figures, Error>,
    /// By the Go program's recipe.
    pub go: Result<Figures, Error>,
}

const HEAD: &str = "# Programs that were tried

`make corpus` has written this page. Each program was preempted under load and went on in a container on a younger node, MOVES times,
with another boot id, other addresses, an empty layer and empty directories, and at last another checkpoint of it was taken. How each is
started and used is in a file of its name in [tests/workloads](../tests/workloads). Beside it stand, in the same containers and moved once,
CRIU alone with the least options with which it works, and what the Go program of crik's name tells CRIU, in a privileged pod.

- **stop**: from the SIGTERM to the container's end. **start**: from the runtime's call until the program goes on. The worst of all moves, on a machine
  with two processors, to a local disk.
- **size**: bytes of the checkpoint on the volume.
";

/// The page.
pub fn write(rows: &[Row], moves: u32) -> String {
    let mut page = HEAD.replace("MOVES", &moves.to_string());
    let _ = writeln!(page, "\n{}", summary(rows));
    for group in [Group::Servers, Group::Languages, Group::Python, Group::Data, Group::Desktop, Group::Kernel]
    {
        let of_group: Vec<&Row> = rows.iter().filter(|row| row.workload.group == group).collect();
        if !of_group.is_empty() {
            page += &table(group, &of_group);
        }
    }
    page + &failures(rows)
}

fn summary(rows: &[Row]) -> String {
    let count = |holds: fn(&Row) -> bool| rows.iter().filter(|row| holds(row)).count();
    format!(
        "Of {} programs {} go on under crik, {} are refused before they are frozen and go on with a remedy, and {} are refused. CRIU alone \
         moves {}, and the Go program's recipe {}.",
        rows.len(),
        count(|row| matches!(row.crik, Ok(Outcome::GoesOn(_)))),
        count(|row| matches!(row.crik, Ok(Outcome::Refused(Some(_))))),
        count(|row| matches!(row.crik, Ok(Outcome::Refused(None)))),
        count(|row| row.plain.is_ok()),
        count(|row| row.go.is_ok()),
    )
}

fn table(group: Group, rows: &[&Row]) -> String {
    let mut text = format!(
        "\n## {}\n\n| program | what | crik | stop | start | size | plain CRIU | the Go recipe |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
        title(group)
    );
    for row in rows {
        let (said, figures) = under_crik(row);
        let [stop, start, size] = figures.map_or(["", "", ""].map(str::to_owned), told);
        let _ = writeln!(
            text,
            "| {} | {} | {said} | {stop} | {start} | {size} | {} | {} |",
            row.workload.name,
            row.workload.about,
            yes_or_no(&row.plain),
            yes_or_no(&row.go)
        );
    }
    text
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Servers => "Servers",
        Group::Languages => "Languages and their runtimes",
        Group::Python => "Python",
        Group::Data => "Data and computing",
        Group::Desktop => "Desktops and tools",
        Group::Kernel => "What the kernel gives to a program",
    }
}

fn under_crik(row: &Row) -> (String, Option<Figures>) {
    match &row.crik {
        Ok(Outcome::GoesOn(figures)) => ("goes on".to_owned(), Some(*figures)),
        Ok(Outcome::Refused(figures)) => {
            let remedy =
                row.workload.remedy.as_ref().map(|remedy| format!("; goes on with `{}`", one_line(remedy)));
            (format!("refused{}", remedy.unwrap_or_default()), *figures)
        }
        Err(_) => ("**fails**".to_owned(), None),
    }
}

fn one_line(remedy: &toml::Table) -> String {
    remedy.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}

fn told(figures: Figures) -> [String; 3] {
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    [seconds(figures.stop), seconds(figures.start), format!("{:.1} MB", figures.size as f64 / 1e6)]
}

fn yes_or_no(outcome: &Result<Figures, Error>) -> &'static str {
    if outcome.is_ok() { "goes on" } else { "fails" }
}

/// Why, in a line each.
fn failures(rows: &[Row]) -> String {
    let mut text = "\n## Why some do not\n\n| program | by | why |\n| --- | --- | --- |\n".to_owned();
    for row in rows {
        if let Some(said) = &row.workload.refused {
            let _ = writeln!(text, "| {} | crik | {said} |", row.workload.name);
        }
        let errors = [
            ("crik", row.crik.as_ref().err()),
            ("plain", row.plain.as_ref().err()),
            ("Go", row.go.as_ref().err()),
        ];
        for (by, error) in errors.into_iter().filter_map(|(by, error)| Some((by, error?))) {
            let why = error.root_cause().to_string();
            let why = why.lines().next().unwrap_or_default().replace('|', "\\|");
            let _ = writeln!(text, "| {} | {by} | {why} |", row.workload.name);
        }
    }
    text
}
