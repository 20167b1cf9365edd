//! Lines of descent: the checkpoints of a program that was started without having seen those that there were stand apart, until a
//! person decides with which line it goes on.
//!
//! `lines.json` names all generations that are not of the main line. A generation is named there before it is committed, so that it
//! never stands above the others, whatever dies in between.

use serde::{Deserialize, Serialize};

use crate::backend::Name;
use crate::image_dir::error::ImageDirError;
use crate::image_dir::{Generation, ImageDir};

/// The file's name in the image directory.
const FILE_NAME: &str = "lines.json";

/// Generations that are not of the main line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// Those on which a person has yet to decide.
    #[serde(default)]
    pub apart: Vec<Apart>,
    /// Those that were decided against, or whose work has ended.
    #[serde(default)]
    pub given_up: Vec<Generation>,
}

/// One line beside the main one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// Its generations, the oldest first. Some may have been removed, or never have been committed.
    pub generations: Vec<Generation>,
    /// Why it stands apart, for people.
    pub why: String,
    /// Since when, in seconds since 1970; for people.
    pub since: u64,
}

/// To which line the generations belong that a hold commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descent {
    /// The main one: the program knows what there was before it.
    Main,
    /// One of its own, if there is a main one: the program was started without having seen it. With its first generation, once there
    /// is one.
    Unseen(Option<Generation>),
}

impl Lines {
    /// Its file's.
    pub(super) fn name() -> Name {
        Name::from(FILE_NAME)
    }

    /// Reads the contents of the file.
    ///
    /// # Errors
    /// They are not those of one.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// The line apart to which `generation` belongs.
    pub fn of(&self, generation: Generation) -> Option<&Apart> {
        self.apart.iter().find(|line| line.generations.contains(&generation))
    }

    /// Whether it is of the main line.
    pub fn is_main(&self, generation: Generation) -> bool {
        self.of(generation).is_none() && !self.given_up.contains(&generation)
    }

    /// The highest number that was ever given to one of these.
    pub fn newest(&self) -> Option<Generation> {
        self.apart.iter().flat_map(|line| &line.generations).chain(&self.given_up).max().copied()
    }

    /// Whether a program of this descent made `generation`, or goes on with it.
    pub fn is_own(&self, descent: Descent, generation: Generation) -> bool {
        match descent {
            Descent::Main => self.is_main(generation),
            Descent::Unseen(None) => false,
            Descent::Unseen(Some(first)) => match self.of(first) {
                Some(line) => line.generations.contains(&generation),
                None => self.is_main(first) && self.is_main(generation),
            },
        }
    }

    /// Goes on with the line of `chosen`, and gives all others up. `all` are the generations that there are.
    pub(super) fn choose(&mut self, chosen: Generation, all: &[Generation]) {
        let keep: Vec<Generation> = match self.of(chosen) {
            Some(line) => line.generations.clone(),
            None => all.iter().copied().filter(|one| self.is_main(*one) || *one == chosen).collect(),
        };
        self.given_up = all.iter().copied().filter(|one| !keep.contains(one)).collect();
        self.apart.clear();
    }
}

impl ImageDir {
    /// The lines of descent.
    ///
    /// # Errors
    /// The volume cannot be read, or the file is not what we write: then nobody knows what may be resumed.
    pub fn lines(&self) -> Result<Lines, ImageDirError> {
        let name = Lines::name();
        let Some(bytes) = self.read_small(&name).map_err(self.at("read", &name))? else {
            return Ok(Lines::default());
        };
        Lines::parse(&bytes).map_err(|error| ImageDirError::Damaged {
            path: self.path_of(&name),
            reason: format!("{error}; without it the newest checkpoint of all counts, if you remove it"),
        })
    }
}
