//! Why programs do not go on, and what helps, in a table.

use std::fmt::Write as _;

use crik_agent::tree::criu::advice;

use super::cycles::Outcome;
use super::event::Failure;
use super::report::{Row, one_line};

const HEAD: &str = "
## Why some do not, and what helps

At which event it was, what was said first, and the remedy: where crik refuses a program, what its log says and what the program's file in
`tests/workloads` has for it; and what crik's log says to an error of CRIU's. What CRIU alone restores may lack what it wrote into its container, and may stand still
where it waits for a time that the clock of the younger node shows a day later.

| program | by | at | why | remedy |
| --- | --- | --- | --- | --- |
";

/// One line for each.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    for row in rows {
        if let Ok(Outcome::Refused { said, .. }) = &row.crik.came {
            let (why, what_to_do) = said.split_once("; ").unwrap_or((said, ""));
            let remedy = row.workload.remedy.as_ref().map(|remedy| format!("; here `{}`", one_line(remedy)));
            let remedy = format!("{what_to_do}{}", remedy.unwrap_or_default());
            line(&mut text, row, "crik", ["started", why, &remedy]);
        }
        let failures = [
            ("crik", row.crik.came.as_ref().err()),
            ("plain", row.plain.came.as_ref().err()),
            ("Go", row.go.came.as_ref().err()),
        ];
        for (by, failure) in failures.into_iter().filter_map(|(by, failure)| Some((by, failure?))) {
            line(&mut text, row, by, [&failure.event.to_string(), &failure.why, remedy(row, failure)]);
        }
    }
    text
}

fn line(text: &mut String, row: &Row, by: &str, cells: [&str; 3]) {
    let [at, why, remedy] = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(text, "| {} | {by} | {at} | {why} | {remedy} |", row.workload.name);
}

/// What crik's log says to the error, and else what crik's own row says.
fn remedy(row: &Row, failure: &Failure) -> &'static str {
    let crik = if row.goes_on() { "under crik it goes on" } else { "as for crik" };
    advice::known(&failure.why).unwrap_or(crik)
}
