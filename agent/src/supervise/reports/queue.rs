//! The reports that wait to be sent, in their order. Pure.

use std::collections::VecDeque;
use std::time::Instant;

use crik_api::report::{Checkpointed, Occasion, What};

use crate::base::limits;

/// One that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The first of an agent is 1.
    pub number: u64,
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub what: What,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
    /// That of the newest.
    number: u64,
}

impl Queue {
    /// Adds what happened `at` this moment. Where there is no room, another one goes that matters least.
    pub fn add(&mut self, what: What, at: Instant) {
        if self.waiting.len() >= limits::REPORTS_WAITING {
            let goes = self.least(&what);
            drop(self.waiting.remove(goes));
        }
        self.number += 1;
        self.waiting.push_back(Waiting { number: self.number, at, what });
    }

    /// The place of the one that matters least where `what` is added: a verdict that a later one supersedes, then the oldest that tells of
    /// what is done again and again, then the oldest of all. How the program began is said once, and nothing later tells it.
    fn least(&self, what: &What) -> usize {
        let mut all = self.waiting.iter().map(|one| &one.what);
        let verdicts = all.clone().filter(|one| is_verdict(one)).count() + usize::from(is_verdict(what));
        let superseded = all.clone().position(is_verdict).filter(|_| verdicts > 1);
        let periodic = || all.clone().position(is_periodic);
        let later = superseded.or_else(periodic);
        later.or_else(|| all.position(|one| !is_start(one))).unwrap_or_default()
    }

    /// The one that is sent next.
    pub fn first(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    /// The one with this number is sent, or is to be sent no more.
    pub fn remove(&mut self, number: u64) {
        self.waiting.retain(|one| one.number != number);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn is_verdict(what: &What) -> bool {
    matches!(what, What::Examined(_))
}

fn is_start(what: &What) -> bool {
    matches!(what, What::Resumed(_) | What::StartedFresh { .. })
}

fn is_periodic(what: &What) -> bool {
    let occasion = match what {
        What::Checkpointed(Checkpointed { occasion, .. }) | What::NotCheckpointed { occasion, .. } => {
            *occasion
        }
        _ => return false,
    };
    occasion == Occasion::Interval
}

#[cfg(test)]
mod tests {
    use crik_api::report::ToldProtection;

    use super::*;

    fn failed(occasion: Occasion) -> What {
        What::NotCheckpointed { occasion, why: "no room".to_owned() }
    }

    fn full_of(what: impl Fn(usize) -> What) -> Queue {
        let mut queue = Queue::default();
        (0..limits::REPORTS_WAITING).for_each(|place| queue.add(what(place), Instant::now()));
        queue
    }

    fn numbers(queue: &Queue) -> Vec<u64> {
        queue.waiting.iter().map(|one| one.number).collect()
    }

    #[test]
    fn they_wait_in_their_order_until_each_is_done_with() {
        let mut queue = Queue::default();
        [What::Stayed, failed(Occasion::Stop)].into_iter().for_each(|what| queue.add(what, Instant::now()));
        assert_eq!(queue.first().map(|one| (one.number, &one.what)), Some((1, &What::Stayed)));
        queue.remove(1);
        assert_eq!(queue.first().map(|one| one.number), Some(2));
        queue.remove(1);
        assert!(!queue.is_empty());
        queue.remove(2);
        assert!(queue.is_empty());
        queue.add(What::Stayed, Instant::now());
        assert_eq!(numbers(&queue), [3], "a number is given once");
    }

    #[test]
    fn where_there_is_no_room_the_oldest_periodic_one_goes_first() {
        let mut queue = full_of(|place| match place {
            3 | 5 => failed(Occasion::Interval),
            _ => failed(Occasion::Asked),
        });
        (0..3).for_each(|_| queue.add(What::Stayed, Instant::now()));
        assert_eq!(numbers(&queue)[..5], [2, 3, 5, 7, 8], "4 and 6 are periodic, then the oldest goes");
        assert_eq!(queue.waiting.len(), limits::REPORTS_WAITING);
    }

    #[test]
    fn where_there_is_no_room_a_superseded_verdict_goes_and_the_start_never() {
        let verdict = || What::Examined(ToldProtection { protected: true, why: None });
        let mut queue = full_of(|place| match place {
            0 => What::StartedFresh { why: None },
            1 | 4 => verdict(),
            3 => failed(Occasion::Interval),
            _ => failed(Occasion::Asked),
        });
        (0..3).for_each(|_| queue.add(What::Stayed, Instant::now()));
        assert_eq!(
            numbers(&queue)[..4],
            [1, 5, 6, 7],
            "2 is superseded, 4 is periodic, then the oldest goes"
        );
        queue.add(verdict(), Instant::now());
        assert_eq!(numbers(&queue)[..4], [1, 6, 7, 8]);
    }

    #[test]
    fn one_that_is_being_sent_may_go_meanwhile() {
        let mut queue = full_of(|_| failed(Occasion::Interval));
        let sent = queue.first().unwrap().number;
        queue.add(What::Stayed, Instant::now());
        queue.remove(sent);
        assert_eq!(queue.first().unwrap().number, 2);
    }
}
