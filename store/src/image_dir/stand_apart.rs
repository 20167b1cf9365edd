//! What a holder does with the lines of descent: lets its generations stand apart, and goes on with the line that a person has chosen.

use crate::base::units;
use crate::image_dir::Generation;
use crate::image_dir::error::ImageDirError;
use crate::image_dir::hold::Hold;
use crate::image_dir::json::to_json;
use crate::image_dir::lines::{Apart, Descent, Lines};

impl Hold {
    /// The generations that belong to the program for which this pod holds the image directory, newest first: it may remove these and
    /// no others.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn own_generations(&self) -> Result<Vec<Generation>, ImageDirError> {
        let (lines, descent) = (self.dir().lines()?, self.descent());
        let all = self.dir().list()?;
        Ok(all.into_iter().filter(|generation| lines.is_own(descent, *generation)).collect())
    }

    /// To be called before `generation` is committed: lets it stand apart if it is of a program that has not seen what there is to
    /// resume. Where there is nothing, there is nothing to be apart from.
    ///
    /// # Errors
    /// The volume fails; then it must not be committed.
    pub fn place(&self, generation: Generation) -> Result<(), ImageDirError> {
        let Descent::Unseen(first) = self.descent() else { return Ok(()) };
        let mut lines = self.dir().lines()?;
        let own = |line: &Apart| first.is_some_and(|first| line.generations.contains(&first));
        match (first, lines.apart.iter().position(own)) {
            (Some(_), Some(own)) => lines.apart[own].generations.push(generation),
            // The first one has become the main line.
            (Some(_), None) => return Ok(()),
            (None, _) if self.is_alone(&lines)? => {
                self.began_with(generation);
                return Ok(());
            }
            (None, _) => lines.apart.push(Apart {
                generations: vec![generation],
                why: "their program was started without a look at the others".to_owned(),
                since: units::now(),
            }),
        }
        self.write_lines(&lines)?;
        self.began_with(generation);
        Ok(())
    }

    /// Whether there is no generation that a start might resume.
    fn is_alone(&self, lines: &Lines) -> Result<bool, ImageDirError> {
        let ended = self.dir().ended()?.map_or(Generation(0), |ended| ended.newest);
        Ok(!self.dir().list()?.into_iter().any(|one| one > ended && lines.is_main(one)))
    }

    /// Lets all that is there stand apart from what is to come.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn set_all_apart(&self, why: &str) -> Result<(), ImageDirError> {
        let mut lines = self.dir().lines()?;
        let mut generations: Vec<Generation> =
            self.dir().list()?.into_iter().filter(|one| lines.is_main(*one)).collect();
        generations.reverse();
        if generations.is_empty() {
            return Ok(());
        }
        lines.apart.push(Apart { generations, why: why.to_owned(), since: units::now() });
        self.write_lines(&lines)
    }

    /// Goes on with the line of `chosen` from the next start on.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn choose_line(&self, chosen: Generation) -> Result<(), ImageDirError> {
        let mut lines = self.dir().lines()?;
        lines.choose(chosen, &self.dir().list()?);
        self.write_lines(&lines)
    }

    /// The work of a line apart has ended: nothing of it is resumed any more, and the others are not touched by that.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn end_line_of(&self, first: Generation) -> Result<(), ImageDirError> {
        let mut lines = self.dir().lines()?;
        let Some(place) = lines.apart.iter().position(|line| line.generations.contains(&first)) else {
            return Ok(());
        };
        let ended = lines.apart.remove(place);
        lines.given_up.extend(ended.generations);
        self.write_lines(&lines)
    }

    fn write_lines(&self, lines: &Lines) -> Result<(), ImageDirError> {
        self.put(&Lines::name(), &to_json(lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_dir::fixture::{commit, everywhere};
    use crate::image_dir::resumable::resumable;
    use crate::image_dir::retention::{Past, give_up_oldest, retain};

    fn numbers(generations: &[u64]) -> Vec<Generation> {
        generations.iter().copied().map(Generation).collect()
    }

    #[test]
    fn what_has_not_seen_the_others_never_stands_above_them() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            commit(&hold);
            hold.has_not_seen();
            for _ in 0..3 {
                commit(&hold);
            }
            assert_eq!(resumable(hold.dir()).unwrap(), numbers(&[2, 1]));
            assert_eq!(hold.dir().lines().unwrap().apart[0].generations, numbers(&[3, 4, 5]));
            retain(&hold, Past::Fresh(Some(Generation(3))), 1).unwrap();
            assert_eq!(hold.dir().list().unwrap(), numbers(&[5, 2, 1]));
            assert_eq!(give_up_oldest(&hold, Past::Fresh(Some(Generation(3)))).unwrap(), None);
            assert_eq!(hold.dir().list().unwrap(), numbers(&[5, 2, 1]));
        });
    }

    #[test]
    fn where_there_is_nothing_there_is_nothing_to_be_apart_from() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            hold.mark_ended("exit status 0").unwrap();
            hold.has_not_seen();
            commit(&hold);
            commit(&hold);
            assert_eq!(resumable(hold.dir()).unwrap(), numbers(&[3, 2]));
            assert_eq!(hold.own_generations().unwrap(), numbers(&[3, 2, 1]));
        });
    }

    #[test]
    fn an_end_of_a_line_apart_is_no_end_of_the_others() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            hold.has_not_seen();
            hold.mark_ended("exit status 0").unwrap();
            commit(&hold);
            hold.mark_ended("exit status 0").unwrap();
            assert_eq!(hold.dir().ended().unwrap(), None);
            assert_eq!(resumable(hold.dir()).unwrap(), numbers(&[1]));
            assert_eq!(hold.dir().lines().unwrap().given_up, numbers(&[2]));
            assert_eq!(hold.dir().next().unwrap(), Generation(3));
        });
    }

    #[test]
    fn a_person_chooses_one_of_them() {
        for (chosen, resumed) in [(3, [3]), (1, [1])] {
            everywhere(|place| {
                let hold = place.held();
                commit(&hold);
                hold.has_not_seen();
                commit(&hold);
                commit(&hold);
                hold.remove(Generation(2)).unwrap();
                hold.choose_line(Generation(chosen)).unwrap();
                assert_eq!(resumable(hold.dir()).unwrap(), numbers(&resumed), "{chosen}");
            });
        }
    }

    #[test]
    fn a_number_that_was_given_is_never_given_again() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            hold.has_not_seen();
            hold.place(Generation(2)).unwrap();
            assert_eq!(hold.dir().next().unwrap(), Generation(3));
        });
    }

    #[test]
    fn what_cannot_be_understood_is_not_taken_for_nothing() {
        everywhere(|place| {
            let hold = place.held();
            commit(&hold);
            hold.dir().backend().create(&Lines::name(), b"{").unwrap();
            assert!(resumable(hold.dir()).unwrap_err().to_string().contains("lines.json is damaged"));
            assert!(hold.own_generations().is_err());
        });
    }
}
