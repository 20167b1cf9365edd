//! Configuration files, from texts with `${NAME}` in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// What stands for the names in the texts.
#[derive(Default)]
pub struct Settings(Vec<(&'static str, String)>);

impl Settings {
    /// Adds one.
    pub fn set(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, value.to_string()));
    }

    /// Writes a text to a file with all names replaced, and returns the file's path.
    ///
    /// # Errors
    /// The text has a name that nothing stands for, or the file cannot be written.
    pub fn write(&self, text: &str, path: &Path) -> Result<PathBuf> {
        let filled = self.fill(text).with_context(|| path.display().to_string())?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, filled)?;
        Ok(path.to_owned())
    }

    fn fill(&self, text: &str) -> Result<String> {
        let filled = self
            .0
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
        ensure!(!filled.contains("${"), "nothing stands for a name in it:\n{filled}");
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nothing_stands_for_is_an_error() {
        let mut settings = Settings::default();
        settings.set("A", 1);
        assert_eq!(settings.fill("a: ${A}${A}").unwrap(), "a: 11");
        assert!(settings.fill("b: ${B}").is_err());
    }
}
