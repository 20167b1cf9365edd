//! What all looks together come to: whether the program is protected. What a single look meets may be over at the next one, so nothing
//! is told, or taken back, that two looks have not seen.

use std::collections::BTreeMap;

use crik_store::image_dir::verdict::Verdict;

use super::finding::{self, Finding};

/// Who has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// At the container and its volume, once.
    Container,
    /// At how fast the volume takes what is written, once.
    Speed,
    /// At the clocks, once.
    Clocks,
    /// At the tree, again and again.
    Tree,
    /// At the room on the volume, again and again, which is no matter of a moment.
    Room,
    /// At the files that go along, again and again, which is none either.
    Carried,
}

/// The looks without which nothing can be said.
const NEEDED: [Look; 4] = [Look::Container, Look::Speed, Look::Clocks, Look::Tree];

/// What one look has brought.
#[derive(Debug, Default)]
pub struct News {
    /// What is there by now.
    pub found: Vec<Finding>,
    /// What is there no more.
    pub gone: Vec<Finding>,
    /// Whether another look has to show whether something lasts.
    pub is_unsure: bool,
}

/// The findings that count, and those of the last look.
#[derive(Debug, Default)]
struct Seen {
    sure: Vec<Finding>,
    last: Vec<Finding>,
    /// Whether there was a look that needed no other to be sure.
    is_settled: bool,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Protection {
    seen: BTreeMap<Look, Seen>,
    how: Vec<String>,
    told: Option<Verdict>,
}

impl Protection {
    /// For checkpoints that go to `place`.
    #[must_use]
    pub fn new(place: String) -> Self {
        Self { how: vec![place], ..Self::default() }
    }

    /// Takes down by what the program will go on.
    pub fn goes_on(&mut self, by: &str) {
        self.how.push(by.to_owned());
    }

    /// Takes down what a look has found, and returns what of it is news.
    pub fn note(&mut self, look: Look, found: Vec<Finding>) -> News {
        let seen = self.seen.entry(look).or_default();
        let before = if look == Look::Tree { std::mem::take(&mut seen.last) } else { found.clone() };
        let (appeared, unsure): (Vec<_>, Vec<_>) =
            found.iter().filter(|one| !has(&seen.sure, one)).cloned().partition(|one| has(&before, one));
        let missing = |one: &Finding| !has(&found, one);
        let gone: Vec<_> =
            seen.sure.iter().filter(|one| missing(one) && !has(&before, one)).cloned().collect();
        let is_unsure =
            !unsure.is_empty() || seen.sure.iter().filter(|one| missing(one)).count() > gone.len();
        seen.sure.retain(|one| !has(&gone, one));
        seen.sure.extend(appeared.iter().cloned());
        seen.last = found;
        seen.is_settled |= !is_unsure;
        News { found: appeared, gone, is_unsure }
    }

    /// The verdict, if there is one by now and it is another one than was told last.
    pub fn news(&mut self) -> Option<Verdict> {
        if !NEEDED.iter().all(|look| self.seen.get(look).is_some_and(|seen| seen.is_settled)) {
            return None;
        }
        let verdict = self.verdict();
        (self.told.as_ref() != Some(&verdict)).then(|| self.told.insert(verdict).clone())
    }

    /// The verdict that was told last.
    #[must_use]
    pub fn told(&self) -> Option<Verdict> {
        self.told.clone()
    }

    /// What was found that is no matter of the moment.
    #[must_use]
    pub fn lasting(&self) -> Vec<Finding> {
        let of = |look| self.seen.get(&look).into_iter().flat_map(|seen| seen.sure.iter().cloned());
        [Look::Container, Look::Speed, Look::Room].into_iter().flat_map(of).collect()
    }

    fn verdict(&self) -> Verdict {
        finding::verdict(self.seen.values().flat_map(|seen| &seen.sure), self.how.join("; "))
    }
}

fn has(findings: &[Finding], one: &Finding) -> bool {
    findings.iter().any(|other| other.is_same(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Effect;

    fn ring(process: u32) -> Finding {
        Finding::no_checkpoint(format!("process {process} has a ring; end it"))
    }

    fn looked() -> Protection {
        let mut protection = Protection::new("imageDir /c".to_owned());
        protection.note(Look::Container, Vec::new());
        protection.note(Look::Speed, Vec::new());
        protection.note(Look::Clocks, Vec::new());
        assert_eq!(protection.news(), None, "nobody has looked at the tree");
        protection
    }

    #[test]
    fn it_is_told_once_and_again_when_it_changes() {
        let mut protection = looked();
        for _ in 0..2 {
            assert!(protection.note(Look::Tree, Vec::new()).found.is_empty());
        }
        assert!(protection.news().unwrap().is_protected());
        assert_eq!(protection.news(), None);
        let lacking = |free: u32| vec![Finding::new(Effect::NoRoom, format!("{free} MB are free"))];
        assert_eq!(protection.note(Look::Room, lacking(1)).found, lacking(1));
        assert_eq!(protection.news().unwrap().to_string(), "NOT PROTECTED: 1 reason: 1 MB are free");
        assert!(protection.note(Look::Room, lacking(2)).found.is_empty());
        assert_eq!(protection.news(), None, "only its numbers are others");
        assert_eq!(protection.note(Look::Room, Vec::new()).gone, lacking(1));
        assert!(protection.news().unwrap().is_protected());
    }

    #[test]
    fn what_only_one_look_meets_is_not_told_nor_is_what_only_one_misses() {
        let mut protection = looked();
        let first = protection.note(Look::Tree, vec![ring(1)]);
        assert!(first.found.is_empty() && first.is_unsure);
        assert_eq!(protection.news(), None, "the first look is not confirmed");
        assert!(!protection.note(Look::Tree, Vec::new()).is_unsure);
        assert!(protection.news().unwrap().is_protected());

        assert!(protection.note(Look::Tree, vec![ring(2)]).found.is_empty());
        assert_eq!(protection.news(), None);
        assert_eq!(protection.note(Look::Tree, vec![ring(3)]).found, [ring(3)]);
        assert!(!protection.news().unwrap().is_protected());

        let missed = protection.note(Look::Tree, Vec::new());
        assert!(missed.gone.is_empty() && missed.is_unsure);
        assert!(!protection.note(Look::Tree, vec![ring(3)]).is_unsure);
        assert_eq!(protection.news(), None);
        protection.note(Look::Tree, Vec::new());
        assert_eq!(protection.note(Look::Tree, Vec::new()).gone, [ring(3)]);
        assert!(protection.news().unwrap().is_protected());
    }

    #[test]
    fn a_warning_is_counted_and_protects_no_less() {
        let mut protection = looked();
        protection.note(Look::Tree, Vec::new());
        protection.goes_on("clocks by the kernel");
        protection.note(Look::Clocks, vec![Finding::new(Effect::MayStandStill, "sleep may stand still")]);
        let told = protection.news().unwrap().to_string();
        assert!(
            told.ends_with("elsewhere (imageDir /c; clocks by the kernel; 1 warning, see crik doctor)"),
            "{told}"
        );
    }
}
