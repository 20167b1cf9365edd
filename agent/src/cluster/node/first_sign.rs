//! The first sign that the node may go away: earlier than a notice, and often a false one. Pure.

use crik_api::{NodeState, NodeStatus};

use crate::cluster::node::decide::describe;
use crate::cluster::node::knowledge::{Knowledge, is_seen};

/// What the news of a node mean for who prepares for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// It may go away, and more so than before; what to tell a person.
    Comes(String),
    /// It stays.
    Over,
    /// Nothing new.
    None,
}

/// Tells signs from what was known before.
#[derive(Debug, Default)]
pub struct FirstSign {
    /// How certain the last sign was.
    known: Option<NodeState>,
}

impl FirstSign {
    /// What `news` mean. What is stale or not known says nothing: who lost sight of a node does not see it recover either.
    pub fn hear(&mut self, news: &Knowledge) -> Sign {
        match seen(news) {
            Some(status) if is_sign(status) => self.sign(status),
            Some(_) if self.known.take().is_some() => Sign::Over,
            _ => Sign::None,
        }
    }

    fn sign(&mut self, status: &NodeStatus) -> Sign {
        if self.known.is_some_and(|known| known >= status.state) {
            return Sign::None;
        }
        self.known = Some(status.state);
        let hinted = status.hints.first().filter(|_| status.state == NodeState::Ready);
        Sign::Comes(hinted.map_or_else(
            || describe(status),
            |hint| format!("node {} may go away ({})", status.name, hint.signal),
        ))
    }
}

/// Whether nothing says that the node may go away.
pub fn is_well(news: &Knowledge) -> bool {
    seen(news).is_some_and(|status| !is_sign(status))
}

fn seen(news: &Knowledge) -> Option<&NodeStatus> {
    news.as_ref().ok().filter(|status| is_seen(status))
}

/// A hint is of a node that is ready still.
fn is_sign(status: &NodeStatus) -> bool {
    status.state > NodeState::Ready || !status.hints.is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crik_api::Reason;

    use super::NodeState::*;
    use super::*;
    use crate::cluster::controller::unknown::Unknown;

    fn status(state: NodeState, hint: bool, stale: bool) -> Knowledge {
        let hints = hint.then(|| Reason { signal: "rebalance".to_owned(), observed: "true".to_owned() });
        let (name, version) = ("a".to_owned(), String::new());
        Ok(NodeStatus {
            name,
            state,
            version,
            reasons: Vec::new(),
            hints: hints.into_iter().collect(),
            stale,
        })
    }

    /// A letter for each of these, one after the other.
    fn heard(story: &[Knowledge]) -> String {
        let mut sign = FirstSign::default();
        let letter = |news| match sign.hear(news) {
            Sign::Comes(_) => 'C',
            Sign::Over => 'O',
            Sign::None => '-',
        };
        story.iter().map(letter).collect()
    }

    fn states(states: &[NodeState]) -> Vec<Knowledge> {
        states.iter().map(|state| status(*state, false, false)).collect()
    }

    #[test]
    fn a_hint_is_one_and_so_is_all_that_is_worse_than_ready() {
        assert_eq!(heard(&[status(Ready, false, false), status(Ready, true, false)]), "-C");
        assert_eq!(heard(&states(&[Ready, Cordoned])), "-C");
        assert_eq!(heard(&states(&[ShuttingDown])), "C");
    }

    #[test]
    fn it_comes_again_when_it_gets_worse_and_not_when_it_stays() {
        assert_eq!(heard(&states(&[Cordoned, Cordoned, Draining, Cordoned, ShuttingDown])), "C-C-C");
        assert_eq!(heard(&[status(Ready, true, false), status(Cordoned, true, false)]), "CC");
    }

    #[test]
    fn it_is_over_once_and_may_come_again() {
        assert_eq!(heard(&states(&[Cordoned, Ready, Ready, Cordoned])), "CO-C");
    }

    #[test]
    fn who_does_not_see_the_node_says_nothing() {
        let unseen =
            [Err(Arc::new(Unknown::NotYet)), status(Unknown, false, false), status(Ready, false, true)];
        let story = [&states(&[Draining])[..], &unseen, &states(&[Draining, Ready])].concat();
        assert_eq!(heard(&story), "C----O");
    }
}
