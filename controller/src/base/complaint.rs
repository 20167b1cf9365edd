//! Says each cause once, however often what fails is tried again.

use std::sync::{Mutex, PoisonError};

/// Why something does not work, as it was said last.
#[derive(Default)]
pub struct Complaint(Mutex<Option<String>>);

impl Complaint {
    /// Takes in why it does not work, or that it does. True if that is not what was said last.
    pub fn is_news(&self, why: Option<&str>) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.as_deref() != why;
        if news {
            *said = why.map(str::to_owned);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once_and_its_end_too() {
        let complaint = Complaint::default();
        assert!(!complaint.is_news(None), "all was well before");
        assert!(complaint.is_news(Some("a")) && !complaint.is_news(Some("a")));
        assert!(complaint.is_news(Some("b")) && complaint.is_news(None) && !complaint.is_news(None));
        assert!(complaint.is_news(Some("b")), "it has happened again");
    }
}
