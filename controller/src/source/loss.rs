//! When a failure is told. An API server that is rolled, or a connection that is cut, is back within a second or two, and to
//! tell that would wake every agent twice; so it has a little time.

use tokio::time::Instant;

use crate::base::limits;
use crate::event::Event;

/// Whether the source is lost, and whether that is told.
#[derive(Default)]
pub struct Loss {
    /// True since it was told.
    told: bool,
    /// When it is told unless all is well by then, and why.
    untold: Option<(Instant, String)>,
}

impl Loss {
    /// Whether it is told.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Something has gone wrong. Told at once if it is not the first, as a cause is news to a person.
    pub fn begins(&mut self, why: String) -> Option<Event> {
        if self.told {
            return Some(Event::Lost(why));
        }
        let due = self.untold.as_ref().map(|(due, _)| *due);
        self.untold = Some((due.unwrap_or_else(|| Instant::now() + limits::LOSS_GRACE), why));
        None
    }

    /// What has had its time already.
    pub fn is_certain(&mut self, why: String) -> Event {
        *self = Self { told: true, untold: None };
        Event::Lost(why)
    }

    /// All is well.
    pub fn is_over(&mut self) {
        *self = Self::default();
    }

    /// When it is told.
    pub fn due(&self) -> Option<Instant> {
        self.untold.as_ref().map(|(due, _)| *due)
    }

    /// What is told now, if it is due.
    pub fn time(&mut self) -> Option<Event> {
        self.untold.as_ref().filter(|(due, _)| *due <= Instant::now())?;
        self.untold.take().map(|(_, why)| self.is_certain(why))
    }
}
