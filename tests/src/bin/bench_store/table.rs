//! One table of all that is measured.

use anyhow::{Result, bail};

/// What comes out at the end.
pub struct Table {
    failed: Vec<String>,
}

/// What a number is to be at most.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// So many times the one that it is compared with.
    Times(f64),
    /// So many of its own unit.
    Most(f64),
    /// For comparison only.
    None,
}

impl Table {
    /// Without a row.
    pub fn new() -> Self {
        Self { failed: Vec::new() }
    }

    /// The names of the columns.
    pub fn head(&self) {
        println!(
            "\n{:>7}  {:<62} {:>10} {:>10} {:>6}  {:<8}",
            "memory", "medians; ms unless it is said otherwise", "compared", "crik", "ratio", "aim"
        );
    }

    /// A row: what was measured of crik, and of what it is compared with.
    pub fn row(&self, megabytes: u32, what: &str, compared: Option<f64>, crik: f64, aim: Aim) {
        let ratio = compared.map(|compared| crik / compared);
        let (aim, is_met) = match aim {
            Aim::Times(most) => (format!("≤ {most:.2} ×"), ratio.is_some_and(|ratio| ratio <= most)),
            Aim::Most(most) => (format!("≤ {most}"), crik <= most),
            Aim::None => (String::new(), true),
        };
        let number =
            |number: f64| if number < 20.0 { format!("{number:.2}") } else { format!("{number:.0}") };
        println!(
            "{megabytes:>5}MB  {what:<62} {:>10} {:>10} {:>6}  {aim:<8} {}",
            compared.map(number).unwrap_or_default(),
            number(crik),
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            if is_met { "" } else { "MISSED" }
        );
    }

    /// What was not measured, and why: a competitor that cannot be had here.
    pub fn skip(&self, megabytes: u32, what: &str, why: &str) {
        println!("{megabytes:>5}MB  {what:<62} skipped: {why}");
    }

    /// What went wrong, so that no rows came of it.
    pub fn fail(&mut self, megabytes: u32, what: &str, error: &anyhow::Error) {
        let line = format!("{error:#}");
        println!("{megabytes:>5}MB  {what:<62} FAILED: {}", line.lines().next().unwrap_or_default());
        self.failed.push(format!("{what}: {line}"));
    }

    /// The whole story of what went wrong.
    ///
    /// # Errors
    /// Something did.
    pub fn finish(self) -> Result<()> {
        if self.failed.is_empty() { Ok(()) } else { bail!("{}", self.failed.join("\n\n")) }
    }
}
