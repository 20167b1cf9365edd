//! A table of cases that ask one question: all are run, each is told with its outcome, and only then does a failure count.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};

/// The cases that were run.
pub struct Table {
    title: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    took: Duration,
    outcome: Result<String, Error>,
}

impl Row {
    fn run(name: &str, case: impl FnOnce() -> Result<String>) -> Self {
        let began = Instant::now();
        let outcome = case();
        Self { name: name.to_owned(), took: began.elapsed(), outcome }
    }
}

impl Table {
    /// An empty one.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), rows: Vec::new() }
    }

    /// Runs a case, which says in a few words what happened.
    pub fn case(&mut self, name: &str, case: impl FnOnce() -> Result<String>) {
        self.rows.push(Row::run(name, case));
    }

    /// Runs a case for each of `inputs`, named by `name`, two at once for each processor since a case mostly waits.
    pub fn each<T: Sync>(
        &mut self,
        inputs: &[T],
        name: impl Fn(&T) -> String + Sync,
        case: impl Fn(&T) -> Result<String> + Sync,
    ) {
        self.each_at_once(2, inputs, name, case);
    }

    /// The same with so many at once for each processor, where a case does next to nothing but wait.
    pub fn each_at_once<T: Sync>(
        &mut self,
        at_once: usize,
        inputs: &[T],
        name: impl Fn(&T) -> String + Sync,
        case: impl Fn(&T) -> Result<String> + Sync,
    ) {
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some((number, input)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, inputs.get(n)?)))
            {
                let row = Row::run(&name(input), || case(input));
                done.lock().expect("a case panicked").push((number, row));
            }
        };
        thread::scope(|scope| {
            for _ in 0..at_once * thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        let mut done = done.into_inner().expect("a case panicked");
        done.sort_by_key(|(number, _)| *number);
        self.rows.extend(done.into_iter().map(|(_, row)| row));
    }

    /// Prints the table, and gives the verdict.
    ///
    /// # Errors
    /// A case did not hold, or there was none; the message has all that did not.
    pub fn finish(self) -> Result<()> {
        // Not by eprint!, which the test runner keeps to itself when a test passes.
        let _ = io::stderr().write_all(self.to_string().as_bytes());
        let broken: Vec<String> = self
            .rows
            .iter()
            .filter_map(|row| Some(format!("{}: {:#}", row.name, row.outcome.as_ref().err()?)))
            .collect();
        if broken.is_empty() && !self.rows.is_empty() {
            return Ok(());
        }
        bail!(
            "{}: {} of {} cases did not hold\n{}",
            self.title,
            broken.len(),
            self.rows.len(),
            broken.join("\n\n")
        )
    }
}

impl std::fmt::Display for Table {
    /// Cases of the same name and outcome share a line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut lines: Vec<(&str, String, usize, Duration)> = Vec::new();
        for Row { name, took, outcome } in &self.rows {
            let said = match outcome {
                Ok(said) => format!("held    {said}"),
                Err(error) => format!("BROKEN  {error:#}").lines().next().unwrap_or_default().to_owned(),
            };
            match lines.iter_mut().find(|line| line.0 == name && line.1 == said) {
                Some(line) => (line.2, line.3) = (line.2 + 1, line.3.max(*took)),
                None => lines.push((name, said, 1, *took)),
            }
        }
        let width = lines.iter().map(|line| line.0.len()).max().unwrap_or(0);
        let held = self.rows.iter().filter(|row| row.outcome.is_ok()).count();
        writeln!(f, "\n{}\n  {:<width$}  cases  longest  outcome", self.title, "case")?;
        for (name, said, cases, longest) in lines {
            writeln!(f, "  {name:<width$}  {cases:>5}  {:>5.1} s  {said}", longest.as_secs_f64())?;
        }
        writeln!(f, "  {} cases run, {held} held", self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broken_case_breaks_the_table() {
        let mut table = Table::new("numbers");
        table.each(
            &[1, 2, 3],
            i32::to_string,
            |n| if *n == 2 { bail!("even") } else { Ok("odd".to_owned()) },
        );
        let text = table.to_string();
        assert!(text.contains("3 cases run, 2 held") && text.contains("BROKEN  even"), "{text}");
        assert!(table.finish().unwrap_err().to_string().contains("1 of 3 cases did not hold\n2: even"));
        assert!(Table::new("nothing").finish().is_err());
    }
}
