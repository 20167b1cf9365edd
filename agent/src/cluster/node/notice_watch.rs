//! Waits for notice that the node goes away, for `actOn: notice`.

use std::future::pending;
use std::time::Duration;

use crik_api::NodeState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::base::limits;
use crate::cluster::node::Node;
use crate::cluster::node::knowledge::Knowledge;
use crate::cluster::node::notice::{Judge, Notice};
use crate::config::{ActOn, Config};

/// Waits for notice.
pub struct NoticeWatch(Option<Watch>);

struct Watch {
    news: watch::Receiver<Knowledge>,
    judge: Judge,
    failed: Option<Failed>,
}

/// A checkpoint at a notice has failed.
struct Failed {
    at: NodeState,
    again: Instant,
    pause: Duration,
}

impl NoticeWatch {
    /// For an application that `stayed` on its node, or did not ([`Judge::new`]). Without `actOn: notice` nothing is waited for.
    pub fn new(config: &Config, node: Option<&Node>, stayed: bool) -> Self {
        let node = node.filter(|_| config.act_on == ActOn::Notice);
        Self(node.map(|node| Watch {
            news: node.news(),
            judge: Judge::new(config.checkpoint_on.notice(), stayed),
            failed: None,
        }))
    }

    /// Waits for notice on which a checkpoint is to be taken now. Nothing is lost if this is dropped while it waits.
    pub async fn next(&mut self) -> Notice {
        match &mut self.0 {
            Some(watch) => watch.next().await,
            None => pending().await,
        }
    }

    /// The checkpoint at this notice has failed. It is tried again after a while, longer each time, and at once when the
    /// node's state gets worse.
    pub fn failed(&mut self, at: NodeState) {
        let Some(watch) = &mut self.0 else { return };
        let (first, longest) = limits::NOTICE_BACKOFF;
        let pause = match &watch.failed {
            Some(before) if before.at == at => (before.pause * 2).min(longest),
            _ => first,
        };
        tracing::info!("the checkpoint is tried again in {pause:?} if the node is still {at}");
        watch.failed = Some(Failed { at, again: Instant::now() + pause, pause });
    }
}

impl Watch {
    fn hear(&mut self) -> Option<Notice> {
        let known = self.news.borrow_and_update();
        let status = known.as_ref().ok()?;
        if self.judge.is_over(status) {
            // The next notice is another one.
            self.failed = None;
        }
        self.judge.hear(status)
    }

    async fn next(&mut self) -> Notice {
        loop {
            let wait = match (self.hear(), &self.failed) {
                (Some(notice), Some(failed)) if notice.state <= failed.at => {
                    if failed.again <= Instant::now() {
                        return notice;
                    }
                    Some(failed.again)
                }
                (Some(notice), _) => return notice,
                (None, _) => None,
            };
            let over = async {
                match wait {
                    Some(again) => sleep_until(again).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = self.news.changed() => if changed.is_err() { pending().await },
                () = over => {}
            }
        }
    }
}
