//! The moves of this pod that an agent was told of, each once, whichever replica tells.

use std::collections::VecDeque;
use std::sync::Mutex;

use hyper::HeaderMap;
use tokio::sync::watch;

use crate::base::limits;
use crate::base::panics::locked;

/// What was heard.
#[derive(Debug)]
pub struct Moves {
    newest: watch::Sender<Option<String>>,
    heard: Mutex<VecDeque<String>>,
}

impl Default for Moves {
    fn default() -> Self {
        Self { newest: watch::Sender::new(None), heard: Mutex::default() }
    }
}

impl Moves {
    /// Takes down what an answer says. Whether that is news: a replica that lags may tell once more of one that is over.
    pub fn hear(&self, headers: &HeaderMap) -> bool {
        let said = headers.get(crik_api::report::MOVE_HEADER).and_then(|value| value.to_str().ok());
        let asked = said.filter(|asked| (1..=limits::MOVE_MAX_CHARS).contains(&asked.len()));
        let Some(asked) = asked.filter(|asked| self.is_new(asked)) else { return false };
        self.newest.send_replace(Some(asked.to_owned()));
        true
    }

    fn is_new(&self, asked: &str) -> bool {
        let mut heard = locked(&self.heard);
        let is_new = !heard.iter().any(|before| before == asked);
        if is_new {
            heard.push_back(asked.to_owned());
            if heard.len() > limits::MOVES_REMEMBERED {
                heard.pop_front();
            }
        }
        is_new
    }

    /// The last one.
    pub fn newest(&self) -> Option<String> {
        self.newest.borrow().clone()
    }

    /// To wait for the next one with.
    pub fn news(&self) -> watch::Receiver<Option<String>> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use crik_api::report::MOVE_HEADER;
    use hyper::header::HeaderValue;

    use super::*;

    fn answer(asked: &str) -> HeaderMap {
        HeaderMap::from_iter([(MOVE_HEADER.parse().unwrap(), HeaderValue::from_str(asked).unwrap())])
    }

    #[test]
    fn a_move_is_news_once_also_when_another_came_between() {
        let moves = Moves::default();
        let news = moves.news();
        assert!(!moves.hear(&HeaderMap::new()) && !news.has_changed().unwrap());
        assert!(moves.hear(&answer("first")) && news.has_changed().unwrap());
        assert!(moves.hear(&answer("second")));
        assert!(!moves.hear(&answer("first")) && !moves.hear(&answer("second")));
        assert_eq!(moves.newest().as_deref(), Some("second"));
    }

    #[test]
    fn what_is_no_word_of_a_move_is_not_heard() {
        let moves = Moves::default();
        for wrong in ["", &"x".repeat(limits::MOVE_MAX_CHARS + 1)] {
            assert!(!moves.hear(&answer(wrong)), "{wrong}");
        }
        assert_eq!(moves.newest(), None);
    }

    #[test]
    fn so_many_moves_are_remembered_and_no_more() {
        let moves = Moves::default();
        for number in 0..=limits::MOVES_REMEMBERED {
            assert!(moves.hear(&answer(&number.to_string())));
        }
        assert!(!moves.hear(&answer("1")) && moves.hear(&answer("0")));
    }
}
