//! Until when what the API server tells counts as new.

use tokio::time::Instant;

use crate::base::limits;

/// What the proofs have shown.
pub struct Proven {
    /// When the last good one was asked for.
    last: Instant,
    /// When the list was asked for that is being read: it is a consistent read too.
    list: Option<Instant>,
    /// Why there was none the last time.
    missing: Option<String>,
    /// True since it was told that they have run out.
    out: bool,
}

impl Proven {
    /// None yet, at this time.
    pub fn new(now: Instant) -> Self {
        Self { last: now, list: None, missing: None, out: false }
    }

    /// A list is asked for.
    pub fn begins_list(&mut self) {
        self.list = Some(Instant::now());
    }

    /// It has come, so whatever was told without a proof is told anew.
    pub fn has_listed(&mut self) {
        let asked = self.list.take().unwrap_or(self.last);
        self.is_good(asked);
    }

    /// A proof has come that was asked for then. True if it came too late for what was told meanwhile.
    pub fn is_good(&mut self, asked: Instant) -> bool {
        (self.last, self.missing) = (self.last.max(asked), None);
        std::mem::take(&mut self.out)
    }

    /// None has come.
    pub fn is_missing(&mut self, why: String) {
        self.missing = Some(why);
    }

    /// True as long as what is told counts as new.
    pub fn holds(&self) -> bool {
        !self.out && Instant::now() < self.end()
    }

    /// When it counts as old, if that is not told yet.
    pub fn due(&self) -> Option<Instant> {
        (!self.out).then(|| self.end())
    }

    /// Why it counts as old from now on, if it has become so.
    pub fn runs_out(&mut self) -> Option<String> {
        if self.out || self.holds() {
            return None;
        }
        self.out = true;
        let why = self.missing.as_deref().unwrap_or("it does not answer");
        Some(format!(
            "the API server has not proved for {:?} that what it tells is new; is its etcd there? ({why})",
            limits::API_LOST
        ))
    }

    fn end(&self) -> Instant {
        self.last + limits::API_LOST
    }
}
