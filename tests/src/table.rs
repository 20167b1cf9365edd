//! A table of cases: each is told with its outcome, and all are run before the first failure counts.

use std::time::Instant;

use anyhow::{Result, bail};

/// The cases of one question.
pub struct Table {
    title: String,
    failed: Vec<String>,
}

impl Table {
    /// An empty one.
    pub fn new(title: &str) -> Self {
        eprintln!("{title}");
        Self { title: title.to_owned(), failed: Vec::new() }
    }

    /// Runs a case; what it returns is told beside its name.
    pub fn case(&mut self, name: &str, run: impl FnOnce() -> Result<String>) {
        let began = Instant::now();
        let said = run().unwrap_or_else(|error| {
            self.failed.push(format!("{name}: {error:#}"));
            format!("FAILED: {error:#}")
        });
        let first = said.replace("\n", " | ");
        eprintln!("  {name:<24} {:>6} ms  {first}", began.elapsed().as_millis());
    }

    /// The verdict.
    ///
    /// # Errors
    /// A case failed; the message names all that did.
    pub fn finish(self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!("{}: {} failed\n{}", self.title, self.failed.len(), self.failed.join("\n"))
    }
}
